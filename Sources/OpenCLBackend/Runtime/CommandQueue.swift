import COpenCL
import Tensors

/// The time that one kernel took over all its launches.
public struct KernelTime: Sendable, Hashable {
  public let kernel: String
  public let launches: Int
  public let seconds: Double
}

/// The one in-order queue. Nothing waits but `read` and `finish`.
final class CommandQueue {
  /// Launches between two flushes: the device starts while the host goes on.
  private static let flushInterval = 32
  /// Flushes that may be outstanding: beyond that the host waits for the oldest, so that a slow device's queue stays short.
  private static let outstandingFlushes = 16

  private let handle: QueueHandle
  private let limits: DeviceLimits
  private let isProfiling: Bool
  /// Whether nothing is copied either way.
  private let isDryRun: Bool
  private var launchesSinceFlush = 0
  private var milestones: [EventHandle] = []
  private var times: [String: (launches: Int, nanoseconds: UInt64)] = [:]
  private var timed: [(kernel: String, event: EventHandle)] = []
  private var writes: [PendingWrite] = []

  /// Host memory that the device has not read yet.
  private struct PendingWrite {
    let event: EventHandle
    let memory: UnsafeMutableRawPointer
    let byteCount: Int
  }

  init(
    context: ContextHandle, device: cl_device_id, limits: DeviceLimits, isProfiling: Bool, isDryRun: Bool = false
  ) throws(OperationError) {
    var status: cl_int = 0
    let properties = isProfiling ? cl_command_queue_properties(CL_QUEUE_PROFILING_ENABLE) : 0
    let raw = clCreateCommandQueue(context.raw, device, properties, &status)
    handle = try QueueHandle(raw, status, "clCreateCommandQueue")
    self.limits = limits
    self.isProfiling = isProfiling
    self.isDryRun = isDryRun
  }

  deinit {
    clFinish(handle.raw)
    for write in writes { write.memory.deallocate() }
  }

  // MARK: - Kernels

  /// Queues `kernel` over `size` with its arguments in the order of its parameters.
  func launch(_ kernel: Kernel, _ size: WorkSize, _ arguments: [any KernelArgument]) throws(OperationError) {
    guard arguments.count == kernel.argumentCount, size.groups.count == size.local.count else {
      throw OperationError(
        .deviceFailure, "clEnqueueNDRangeKernel",
        "\(kernel.name) takes \(kernel.argumentCount) arguments, \(arguments.count) are given")
    }
    for (index, argument) in arguments.enumerated() {
      let status = argument.bind(kernel.handle.raw, cl_uint(index))
      if status != CL_SUCCESS {
        throw OperationError(
          .deviceFailure, "clSetKernelArg", "\(statusName(status)) for \(kernel.name), argument \(index): \(argument)")
      }
    }
    // Local memory was checked with the kernel's parameters. What the driver says of a kernel is no help: Mesa's rusticl
    // states a limit of 32 items for kernels that it runs with 256, and twice the local memory that they declare.
    try limits.check(kernel.name, items: size.itemsOfGroup, localBytes: 0)
    let global = zip(size.groups, size.local).map(*)
    launchesSinceFlush += 1
    let isMilestone = launchesSinceFlush >= CommandQueue.flushInterval
    var event: cl_event?
    try withUnsafeMutablePointer(to: &event) { (event) throws(OperationError) in
      try check(
        clEnqueueNDRangeKernel(
          handle.raw, kernel.handle.raw, cl_uint(global.count), nil, global, size.local, 0, nil,
          isProfiling || isMilestone ? event : nil),
        "clEnqueueNDRangeKernel", kernel: kernel.name)
    }
    let owned = event.map { EventHandle(owning: $0) }
    if isProfiling, let owned { timed.append((kernel.name, owned)) }
    if isMilestone, let owned {
      launchesSinceFlush = 0
      try check(clFlush(handle.raw), "clFlush")
      milestones.append(owned)
      if milestones.count > CommandQueue.outstandingFlushes {
        try wait(for: milestones.removeFirst())
        if isProfiling { try collectTimes() }
      }
    }
  }

  private func wait(for event: EventHandle) throws(OperationError) {
    var raw: cl_event? = event.raw
    try check(clWaitForEvents(1, &raw), "clWaitForEvents")
  }

  // MARK: - Host memory

  /// Queues a copy of `bytes` to the start of `buffer`; the caller's memory is free again on return.
  func write(_ bytes: UnsafeRawBufferPointer, to buffer: OpenCLBuffer) throws(OperationError) {
    guard let source = bytes.baseAddress, bytes.count > 0 else { return }
    guard bytes.count <= buffer.capacity else {
      throw OperationError(.deviceFailure, "clEnqueueWriteBuffer", "\(bytes.count) bytes into \(buffer.capacity)")
    }
    guard !isDryRun else { return }
    try reapWrites()
    let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 64)
    copy.copyMemory(from: source, byteCount: bytes.count)
    var event: cl_event?
    let status = clEnqueueWriteBuffer(
      handle.raw, buffer.memory.raw, cl_bool(CL_FALSE), 0, bytes.count, copy, 0, nil, &event)
    guard status == CL_SUCCESS, let event else {
      copy.deallocate()
      throw failure(status, "clEnqueueWriteBuffer")
    }
    writes.append(PendingWrite(event: EventHandle(owning: event), memory: copy, byteCount: bytes.count))
  }

  /// Frees the copies that have arrived; waits for the oldest while too much is under way.
  private func reapWrites() throws(OperationError) {
    while let oldest = writes.first {
      var state: cl_int = 0
      try check(
        clGetEventInfo(
          oldest.event.raw, cl_event_info(CL_EVENT_COMMAND_EXECUTION_STATUS), MemoryLayout<cl_int>.size, &state, nil),
        "clGetEventInfo")
      if state < 0 { throw failure(state, "clEnqueueWriteBuffer") }
      if state > CL_COMPLETE {
        if writes.reduce(0, { $0 + $1.byteCount }) <= 64 << 20 { return }
        try wait(for: oldest.event)
      }
      oldest.memory.deallocate()
      writes.removeFirst()
    }
  }

  /// Waits for everything queued, then copies from the start of `buffer`.
  func read(_ buffer: OpenCLBuffer, into bytes: UnsafeMutableRawBufferPointer) throws(OperationError) {
    guard bytes.count <= buffer.capacity else {
      throw OperationError(.deviceFailure, "clEnqueueReadBuffer", "\(bytes.count) bytes from \(buffer.capacity)")
    }
    if bytes.count > 0, !isDryRun {
      try check(
        clEnqueueReadBuffer(
          handle.raw, buffer.memory.raw, cl_bool(CL_TRUE), 0, bytes.count, bytes.baseAddress, 0, nil, nil),
        "clEnqueueReadBuffer")
    }
    try settle()
  }

  /// Waits for everything queued.
  func finish() throws(OperationError) {
    try check(clFinish(handle.raw), "clFinish")
    try settle()
  }

  /// What is due when the queue has run dry.
  private func settle() throws(OperationError) {
    milestones.removeAll()
    launchesSinceFlush = 0
    for write in writes { write.memory.deallocate() }
    writes.removeAll()
    if isProfiling { try collectTimes() }
  }

  // MARK: - Profiling

  private func collectTimes() throws(OperationError) {
    for (kernel, event) in timed {
      try wait(for: event)
      var start: cl_ulong = 0
      var end: cl_ulong = 0
      let size = MemoryLayout<cl_ulong>.size
      try check(
        clGetEventProfilingInfo(event.raw, cl_profiling_info(CL_PROFILING_COMMAND_START), size, &start, nil),
        "clGetEventProfilingInfo", kernel: kernel)
      try check(
        clGetEventProfilingInfo(event.raw, cl_profiling_info(CL_PROFILING_COMMAND_END), size, &end, nil),
        "clGetEventProfilingInfo", kernel: kernel)
      let total = times[kernel] ?? (0, 0)
      times[kernel] = (total.launches + 1, total.nanoseconds + (end >= start ? end - start : 0))
    }
    timed.removeAll()
  }

  /// The times since the last call, longest first. Waits for everything queued.
  func takeTimes() throws(OperationError) -> [KernelTime] {
    try finish()
    defer { times = [:] }
    return times.map { KernelTime(kernel: $0, launches: $1.launches, seconds: Double($1.nanoseconds) * 1e-9) }
      .sorted { ($0.seconds, $0.kernel) > ($1.seconds, $1.kernel) }
  }
}
