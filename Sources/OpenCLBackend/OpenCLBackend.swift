import COpenCL
import Operators
import Tensors

/// Operations on an OpenCL device, by the kernels under `Kernels/`.
///
/// Its tensors may be let go on any thread: the pool they return to has a lock.
public final class OpenCLBackend: StorageBackend {
  public typealias Storage = OpenCLBuffer

  /// What is seldom asked for.
  public struct Options: Sendable {
    /// Whether the time of every kernel is taken; costs some of it.
    public var isProfiling: Bool
    /// Where built programs are kept between runs.
    var programCache: ProgramCache.Location = .standard
    /// Whether everything is asked for and nothing done: no program is built and no kernel launched (`ProgramLibrary.asked` and
    /// `askedLaunches` have them), what is downloaded is zero. Tests see so what a full-size step needs.
    var isDryRun = false

    public init(isProfiling: Bool = false) { self.isProfiling = isProfiling }
  }

  public let device: OpenCLDevice
  public let precision: ElementType
  /// `gpu` or `cpu`.
  public let kernelForm: KernelForm
  let limits: DeviceLimits
  let pool: BufferPool
  let queue: CommandQueue
  let programs: ProgramLibrary
  private let isDryRun: Bool

  public init(
    device: OpenCLDevice, precision: ElementType, kernelForm: KernelForm = .auto, options: Options = Options()
  ) throws(OperationError) {
    self.device = device
    isDryRun = options.isDryRun
    self.precision = precision
    self.kernelForm = try kernelForm.resolved(for: device)
    limits = DeviceLimits(device)
    let raw = try OpenCLDevices.raw(device)
    var list: cl_device_id? = raw
    var status: cl_int = 0
    let context = try ContextHandle(clCreateContext(nil, 1, &list, nil, nil, &status), status, "clCreateContext")
    pool = BufferPool(context: context, limits: limits, isDryRun: options.isDryRun)
    queue = try CommandQueue(
      context: context, device: raw, limits: limits, isProfiling: options.isProfiling, isDryRun: options.isDryRun)
    programs = ProgramLibrary(
      context: context, rawDevice: raw, device: device, cache: ProgramCache(options.programCache, for: device))
  }

  public var name: String { "\(device.name) (\(device.platform), \(kernelForm.rawValue) kernels)" }

  public var memory: MemoryUse { pool.use }

  public func synchronize() throws(OperationError) { try queue.finish() }

  /// The time of every kernel since the last call, longest first; empty unless profiling was asked for.
  public func takeKernelTimes() throws(OperationError) -> [KernelTime] { try queue.takeTimes() }

  // MARK: - What operations are made of

  /// A tensor that holds anything: the kernel that makes it writes all of it.
  func allocate(_ shape: Shape, _ type: ElementType) throws(OperationError) -> Tensor<OpenCLBuffer> {
    Tensor(shape: shape, type: type, storage: try pool.take(shape.byteCount(type)))
  }

  /// Queues the kernel `name` of a family, built for tensors of `storage`.
  func run<Parameters: KernelParameters>(
    _ name: String, _ parameters: Parameters, storage: ElementType, _ size: WorkSize, _ arguments: any KernelArgument...
  ) throws(OperationError) {
    guard !isDryRun else { return try programs.ask(name, parameters, storage: storage, size, arguments) }
    try queue.launch(programs.kernel(name, parameters, storage: storage), size, arguments)
  }

  /// Copies whole numbers, for a kernel's `__global const int *`.
  func upload(_ integers: [Int32]) throws(OperationError) -> OpenCLBuffer {
    try uploadBytes(of: integers)
  }

  /// Copies floats as they are, for a kernel's `__global const float *`.
  func upload(_ floats: [Float]) throws(OperationError) -> OpenCLBuffer {
    try uploadBytes(of: floats)
  }

  private func uploadBytes<Number: BitwiseCopyable>(of numbers: [Number]) throws(OperationError) -> OpenCLBuffer {
    let buffer = try pool.take(numbers.count * MemoryLayout<Number>.stride)
    try numbers.withUnsafeBufferPointer { (numbers) throws(OperationError) in
      try queue.write(UnsafeRawBufferPointer(numbers), to: buffer)
    }
    return buffer
  }
}
