import Foundation
import Operators
import Tensors

/// Memory that is used again: a fresh page costs a fault at its first touch, and every step asks for the same sizes.
///
/// Blocks are aligned to 64 bytes, large ones to 2 MiB so that the system can back them with large pages. Sizes are rounded up to
/// eight classes a power of two; a block that comes back waits for the next request of its class.
final class MemoryPool: @unchecked Sendable {
  private let lock = NSLock()
  private var waiting: [Int: [UnsafeMutableRawPointer]] = [:]
  private var waitingBytes = 0
  private var currentBytes = 0
  private var peakBytes = 0

  deinit { releaseWaitingBlocks() }

  var use: MemoryUse {
    lock.withLock { MemoryUse(currentBytes: currentBytes, peakBytes: peakBytes) }
  }

  /// `bytes` of memory, not cleared.
  func allocate(_ bytes: Int, for operation: String) throws(OperationError) -> CPUStorage {
    let capacity = MemoryPool.capacity(bytes)
    guard let pointer = lock.withLock({ take(capacity) }) else {
      throw OperationError(
        .outOfMemory, operation, "\(bytes) bytes more than the \(use.currentBytes) in use can't be had")
    }
    return CPUStorage(pointer: pointer, capacity: capacity, pool: self)
  }

  fileprivate func giveBack(_ pointer: UnsafeMutableRawPointer, _ capacity: Int) {
    lock.withLock {
      currentBytes -= capacity
      // What waits may take a quarter of what is used: a step's activations come back whole, a model's weights go.
      if waitingBytes + capacity > max(512 << 20, currentBytes / 4) {
        free(pointer)
      } else {
        waiting[capacity, default: []].append(pointer)
        waitingBytes += capacity
      }
    }
  }

  private func take(_ capacity: Int) -> UnsafeMutableRawPointer? {
    var pointer = waiting[capacity]?.popLast()
    if pointer != nil {
      waitingBytes -= capacity
    } else {
      pointer = MemoryPool.fresh(capacity)
      if pointer == nil {
        releaseWaitingBlocks()
        pointer = MemoryPool.fresh(capacity)
      }
    }
    guard pointer != nil else { return nil }
    currentBytes += capacity
    peakBytes = max(peakBytes, currentBytes)
    return pointer
  }

  private func releaseWaitingBlocks() {
    for pointers in waiting.values { pointers.forEach { free($0) } }
    waiting.removeAll()
    waitingBytes = 0
  }

  private static let largePage = 2 << 20

  private static func fresh(_ capacity: Int) -> UnsafeMutableRawPointer? {
    var pointer: UnsafeMutableRawPointer?
    let isLarge = capacity >= 2 * largePage
    guard posix_memalign(&pointer, isLarge ? largePage : 64, capacity) == 0 else { return nil }
    #if os(Linux)
      if isLarge, let pointer { _ = madvise(pointer, capacity / largePage * largePage, Int32(MADV_HUGEPAGE)) }
    #endif
    return pointer
  }

  /// The class of a request: its size rounded up to an eighth of the power of two below it.
  static func capacity(_ bytes: Int) -> Int {
    guard bytes > 512 else { return (max(bytes, 1) + 63) / 64 * 64 }
    let step = 1 << (Int.bitWidth - bytes.leadingZeroBitCount - 4)
    return (bytes + step - 1) / step * step
  }
}

/// A piece of the CPU backend's memory. It goes back to the pool when its last reference goes.
public final class CPUStorage: @unchecked Sendable {
  let pointer: UnsafeMutableRawPointer
  private let capacity: Int
  private let pool: MemoryPool

  fileprivate init(pointer: UnsafeMutableRawPointer, capacity: Int, pool: MemoryPool) {
    self.pointer = pointer
    self.capacity = capacity
    self.pool = pool
  }

  deinit { pool.giveBack(pointer, capacity) }

  /// As float32. Like every pointer from here it is good only while the storage is: take it anew in each closure that uses it.
  var floats: UnsafeMutablePointer<Float> { pointer.assumingMemoryBound(to: Float.self) }

  var doubles: UnsafeMutablePointer<Double> { pointer.assumingMemoryBound(to: Double.self) }
}
