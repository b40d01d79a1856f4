import COpenCL
import Operators
import Synchronization
import Tensors

/// A piece of device memory that goes back to its pool with its last reference.
///
/// With one in-order queue the memory may be handed out again at once: whatever is queued later runs later.
public final class OpenCLBuffer: Sendable {
  /// Bytes that may be used; what was there before is not cleared.
  let capacity: Int
  let memory: MemoryHandle
  private let pool: BufferPool

  fileprivate init(_ memory: MemoryHandle, capacity: Int, pool: BufferPool) {
    self.memory = memory
    self.capacity = capacity
    self.pool = pool
  }

  deinit { pool.giveBack(memory, capacity: capacity) }
}

/// Device memory in size classes: a buffer that was let go serves the next request of about its size.
///
/// Every training step asks for the same sizes in the same order, so from the second step on nothing is allocated.
/// Buffers may be let go on any thread; the state is behind a lock.
final class BufferPool: Sendable {
  private struct State {
    var free: [Int: [MemoryHandle]] = [:]
    var current = 0
    var peak = 0
    /// Bytes held from the driver, in use or not, and the most that ever were.
    var reserved = 0
    var peakReserved = 0
    /// What stands for every buffer of a dry run.
    var placeholder: MemoryHandle?
    var allocations = 0
  }

  /// Free bytes that are not worth giving back.
  static let slack = 64 << 20

  private let context: ContextHandle
  private let limits: DeviceLimits
  /// Whether buffers are counted and not made.
  private let isDryRun: Bool
  private let state = Mutex(State())

  init(context: ContextHandle, limits: DeviceLimits, isDryRun: Bool = false) {
    self.context = context
    self.limits = limits
    self.isDryRun = isDryRun
  }

  /// Bytes in buffers that someone holds.
  var use: MemoryUse {
    state.withLock {
      MemoryUse(
        currentBytes: $0.current, peakBytes: $0.peak, reservedBytes: $0.peakReserved, limitBytes: limits.memory)
    }
  }
  var reservedBytes: Int { state.withLock { $0.reserved } }
  /// How often the driver was asked for memory.
  var allocations: Int { state.withLock { $0.allocations } }

  /// The class of a request: sixteen steps between powers of two, so that at most a sixteenth is wasted.
  static func sizeClass(_ bytes: Int) -> Int {
    let bytes = max(bytes, 1)
    let step = max(256, (1 << (Int.bitWidth - 1 - bytes.leadingZeroBitCount)) >> 4)
    return (bytes + step - 1) / step * step
  }

  /// A buffer of at least `bytes`, which may hold anything.
  func take(_ bytes: Int) throws(OperationError) -> OpenCLBuffer {
    guard bytes <= limits.allocation else {
      throw OperationError(
        .outOfMemory, "clCreateBuffer", "\(bytes) bytes in one tensor; the device allows \(limits.allocation)")
    }
    let size = min(BufferPool.sizeClass(bytes), limits.allocation)
    if let (memory, capacity) = reuse(size) { return OpenCLBuffer(memory, capacity: capacity, pool: self) }
    releaseSurplus(for: size)
    let memory: MemoryHandle
    do {
      memory = try allocate(size)
    } catch  where error.code == .outOfMemory {
      releaseFree()
      memory = try allocate(size)
    }
    state.withLock {
      $0.reserved += size
      $0.peakReserved = max($0.peakReserved, $0.reserved)
      $0.allocations += 1
      $0.current += size
      $0.peak = max($0.peak, $0.current)
    }
    return OpenCLBuffer(memory, capacity: size, pool: self)
  }

  /// The smallest free buffer that holds `size` and is not a quarter too large.
  private func reuse(_ size: Int) -> (MemoryHandle, Int)? {
    state.withLock { state in
      let limit = size + size / 4
      guard let fit = state.free.keys.filter({ $0 >= size && $0 <= limit }).min(),
        let memory = state.free[fit]?.popLast()
      else { return nil }
      if state.free[fit]?.isEmpty == true { state.free[fit] = nil }
      state.current += fit
      state.peak = max(state.peak, state.current)
      return (memory, fit)
    }
  }

  private func allocate(_ size: Int) throws(OperationError) -> MemoryHandle {
    if isDryRun, let placeholder = state.withLock({ $0.placeholder }) { return placeholder }
    var status: cl_int = 0
    let raw = clCreateBuffer(context.raw, cl_mem_flags(CL_MEM_READ_WRITE), isDryRun ? 1 : size, nil, &status)
    let memory = try MemoryHandle(raw, status, "clCreateBuffer")
    if isDryRun { state.withLock { $0.placeholder = memory } }
    return memory
  }

  /// Before `size` more bytes are asked of the driver: gives free buffers back, the largest first, while more than half of what
  /// was ever in use at once would lie idle. What loading left behind in sizes that no step asks for goes this way.
  private func releaseSurplus(for size: Int) {
    let released = state.withLock { state -> [MemoryHandle] in
      let wanted = max(state.peak, state.current + size)
      let bound = wanted + wanted / 2 + BufferPool.slack
      var released: [MemoryHandle] = []
      while state.reserved + size > bound, let largest = state.free.keys.max(),
        let memory = state.free[largest]?.popLast()
      {
        if state.free[largest]?.isEmpty == true { state.free[largest] = nil }
        state.reserved -= largest
        released.append(memory)
      }
      return released
    }
    withExtendedLifetime(released) {}
  }

  /// Gives everything that nobody holds back to the driver.
  func releaseFree() {
    let released = state.withLock { state -> [Int: [MemoryHandle]] in
      let free = state.free
      state.reserved -= free.reduce(0) { $0 + $1.key * $1.value.count }
      state.free = [:]
      return free
    }
    _ = released
  }

  fileprivate func giveBack(_ memory: MemoryHandle, capacity: Int) {
    state.withLock {
      $0.current -= capacity
      $0.free[capacity, default: []].append(memory)
    }
  }
}
