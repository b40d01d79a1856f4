import Dispatch
import Foundation

/// Runs `body` for every index below `count`, spread over the machine's cores.
///
/// What an index computes is a function of the index alone and callers cut their work into pieces of fixed size, so results do not
/// depend on how many threads there are.
private func concurrently(_ count: Int, _ body: (Int) -> Void) {
  if count == 1 { return body(0) }
  guard count > 1 else { return }
  withoutActuallyEscaping(body) { body in
    let work = Work(body: body)
    DispatchQueue.concurrentPerform(iterations: count) { work.body($0) }
  }
}

/// A body that several threads run: what it captures is memory of which each index writes its own part.
private struct Work: @unchecked Sendable {
  let body: (Int) -> Void
}

extension CPUBackend {
  /// Runs `body` for every index below `count`, spread over the machine's cores; in a dry run for none.
  func parallel(_ count: Int, _ body: (Int) -> Void) {
    if !isDryRun { concurrently(count, body) }
  }

  /// Cuts `0..<count` into pieces of `size` and runs `body` over each: the piece's start and its length.
  func parallel(_ count: Int, by size: Int, _ body: (_ start: Int, _ length: Int) -> Void) {
    parallel((count + size - 1) / size) { piece in
      let start = piece * size
      body(start, min(size, count - start))
    }
  }
}

/// Rows of `channels` numbers that make a piece of work of about 16384 numbers: small enough to stay in a core's cache, large
/// enough that starting it costs nothing.
func rowsPerPiece(_ channels: Int) -> Int { max(1, 16384 / max(1, channels)) }

/// The same for numbers one by one.
let elementsPerPiece = 32768

/// Runs `body` with memory for `floats` numbers, aligned for vectors, that the piece of work keeps to itself.
func withScratch(_ floats: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
  let scratch = UnsafeMutableRawPointer.allocate(byteCount: floats * 4, alignment: 64)
  defer { scratch.deallocate() }
  body(scratch.bindMemory(to: Float.self, capacity: floats))
}

/// Threads that work side by side. It may decide how work is cut, never in what order a sum is taken.
let coreCount = ProcessInfo.processInfo.activeProcessorCount
