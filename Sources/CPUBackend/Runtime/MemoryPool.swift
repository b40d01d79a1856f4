import Foundation
import Operators
import Synchronization
import Tensors

/// Memory that is used again: a fresh page costs a fault at its first touch, and every step asks for the same sizes.
///
/// Blocks are aligned to 64 bytes, large ones to 2 MiB so that the system can back them with large pages. Sizes are rounded up to
/// eight classes a power of two; a block that comes back waits for the next request of its class.
final class MemoryPool: Sendable {
  /// Memory that has one owner at a time: the pool or a `CPUStorage`. A pointer alone can't say so, hence `@unchecked`.
  struct Block: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer
    let capacity: Int
  }

  private struct State {
    var waiting: [Int: [Block]] = [:]
    var waitingBytes = 0
    var currentBytes = 0
    var peakBytes = 0
    var reservedBytes = 0
    let isDryRun: Bool

    init(isDryRun: Bool) { self.isDryRun = isDryRun }

    mutating func take(_ capacity: Int) -> Block? {
      var block = waiting[capacity]?.popLast()
      if block != nil {
        waitingBytes -= capacity
      } else {
        block = fresh(capacity)
        if block == nil {
          releaseWaitingBlocks()
          block = fresh(capacity)
        }
      }
      guard block != nil else { return nil }
      currentBytes += capacity
      peakBytes = max(peakBytes, currentBytes)
      reservedBytes = max(reservedBytes, currentBytes + waitingBytes)
      return block
    }

    mutating func giveBack(_ block: Block) {
      currentBytes -= block.capacity
      // What waits may take a quarter of what is used: a step's activations come back whole, a model's weights go.
      if waitingBytes + block.capacity > max(512 << 20, currentBytes / 4) {
        release(block)
      } else {
        waiting[block.capacity, default: []].append(block)
        waitingBytes += block.capacity
      }
    }

    mutating func releaseWaitingBlocks() {
      for blocks in waiting.values { blocks.forEach(release) }
      waiting.removeAll()
      waitingBytes = 0
    }

    /// Memory from the system. A dry run has its addresses alone, which take no memory as long as nobody writes there: more of them
    /// than the machine has memory.
    private func fresh(_ capacity: Int) -> Block? {
      if isDryRun {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let pointer = mmap(nil, capacity, PROT_READ | PROT_WRITE, flags, -1, 0), pointer != MAP_FAILED
        else { return nil }
        return Block(pointer: pointer, capacity: capacity)
      }
      var pointer: UnsafeMutableRawPointer?
      let isLarge = capacity >= 2 * HostMemory.largePage
      guard posix_memalign(&pointer, isLarge ? HostMemory.largePage : 64, capacity) == 0, let pointer
      else { return nil }
      HostMemory.preferLargePages(UnsafeMutableRawBufferPointer(start: pointer, count: capacity))
      return Block(pointer: pointer, capacity: capacity)
    }

    private func release(_ block: Block) {
      if isDryRun { munmap(block.pointer, block.capacity) } else { free(block.pointer) }
    }
  }

  private let isDryRun: Bool
  private let state: Mutex<State>

  init(isDryRun: Bool = false) {
    self.isDryRun = isDryRun
    state = Mutex(State(isDryRun: isDryRun))
  }

  deinit { state.withLock { $0.releaseWaitingBlocks() } }

  var use: MemoryUse {
    state.withLock {
      MemoryUse(
        currentBytes: $0.currentBytes, peakBytes: $0.peakBytes, reservedBytes: $0.reservedBytes,
        limitBytes: HostMemory.limit)
    }
  }

  /// `bytes` of memory, not cleared.
  func allocate(_ bytes: Int, for operation: String) throws(OperationError) -> CPUStorage {
    guard bytes <= (isDryRun ? 1 << 46 : HostMemory.limit), case let capacity = MemoryPool.capacity(bytes),
      let block = state.withLock({ $0.take(capacity) })
    else {
      throw OperationError(
        .outOfMemory, operation, "\(bytes) bytes more than the \(use.currentBytes) in use can't be had")
    }
    return CPUStorage(block, of: self)
  }

  fileprivate func giveBack(_ block: Block) { state.withLock { $0.giveBack(block) } }

  /// The class of a request: its size rounded up to an eighth of the power of two below it.
  static func capacity(_ bytes: Int) -> Int {
    guard bytes > 512 else { return (max(bytes, 1) + 63) / 64 * 64 }
    let step = 1 << (Int.bitWidth - bytes.leadingZeroBitCount - 4)
    return (bytes + step - 1) / step * step
  }
}

/// A piece of the CPU backend's memory. It goes back to the pool when its last reference goes.
public final class CPUStorage: Sendable {
  private let block: MemoryPool.Block
  private let pool: MemoryPool

  fileprivate init(_ block: MemoryPool.Block, of pool: MemoryPool) {
    self.block = block
    self.pool = pool
  }

  deinit { pool.giveBack(block) }

  var pointer: UnsafeMutableRawPointer { block.pointer }

  /// As float32. Like every pointer from here it is good only while the storage is: take it anew in each closure that uses it.
  var floats: UnsafeMutablePointer<Float> { pointer.assumingMemoryBound(to: Float.self) }

  var doubles: UnsafeMutablePointer<Double> { pointer.assumingMemoryBound(to: Double.self) }
}
