import COpenCL
import Foundation
import Tensors

/// A kernel that is ready to run.
final class Kernel {
  let name: String
  let handle: KernelHandle
  let argumentCount: Int

  init(_ name: String, of program: ProgramHandle) throws(OperationError) {
    self.name = name
    var status: cl_int = 0
    let raw = clCreateKernel(program.raw, name, &status)
    handle = try KernelHandle(raw, status, "clCreateKernel", kernel: name)
    var count: cl_uint = 0
    try check(
      clGetKernelInfo(handle.raw, cl_kernel_info(CL_KERNEL_NUM_ARGS), MemoryLayout<cl_uint>.size, &count, nil),
      "clGetKernelInfo", kernel: name)
    argumentCount = Int(count)
  }
}

/// The programs of one context: each built once, or taken from the cache on disk.
final class ProgramLibrary {
  private let context: ContextHandle
  private let rawDevice: cl_device_id
  private let device: OpenCLDevice
  private let limits: DeviceLimits
  private let cache: ProgramCache
  private var programs: [ProgramSource: ProgramHandle] = [:]
  private var kernels: [KernelKey: Kernel] = [:]
  /// Programs that a compiler made, as against those from disk.
  private(set) var buildCount = 0
  /// What `ask` was told of: a line a program, its sources and its defines, as `Tools/gpu-check/programs.txt` has them.
  private(set) var asked: Set<String> = []
  /// The launches that `ask` was told of, in order, as `Tools/gpu-check/step.txt` has them.
  private(set) var askedLaunches: [String] = []

  private struct KernelKey: Hashable {
    let parameters: AnyHashable
    let storage: ElementType
    let name: String
  }

  init(context: ContextHandle, rawDevice: cl_device_id, device: OpenCLDevice, cache: ProgramCache) {
    self.context = context
    self.rawDevice = rawDevice
    self.device = device
    limits = DeviceLimits(device)
    self.cache = cache
  }

  /// The kernel `name` of the family that `parameters` belong to, over tensors of `storage`.
  func kernel<Parameters: KernelParameters>(_ name: String, _ parameters: Parameters, storage: ElementType)
    throws(OperationError) -> Kernel
  {
    let key = KernelKey(parameters: parameters, storage: storage, name: name)
    if let kernel = kernels[key] { return kernel }
    try parameters.check(limits)
    let kernel = try self.kernel(name, of: ProgramSource(parameters, storage: storage, device: device))
    kernels[key] = kernel
    return kernel
  }

  /// Notes that a program would be built and a kernel of it launched.
  func ask<Parameters: KernelParameters>(
    _ name: String, _ parameters: Parameters, storage: ElementType, _ size: WorkSize,
    _ arguments: [any KernelArgument]
  ) throws(OperationError) {
    try parameters.check(limits)
    let sources = EmbeddedSources.common + Parameters.sharedSources + [Parameters.source]
    let defines = parameters.defines.map { " \($0.name)=\($0.value)" }.joined()
    asked.insert(sources.joined(separator: " ") + " :" + defines)
    // Buffers by a letter, so that what is passed twice is seen.
    var letters: [ObjectIdentifier: Int] = [:]
    let words = arguments.map { argument in
      guard let extent = argument.extent else { return "\(argument)" }
      let letter = letters[extent.buffer, default: letters.count]
      letters[extent.buffer] = letter
      return "\(UnicodeScalar(UInt8(97 + letter))):\(extent.byteCount)"
    }
    let axes = { (numbers: [Int]) in numbers.map(String.init).joined(separator: "x") }
    askedLaunches.append(
      "\(name) \(axes(size.groups)) \(axes(size.local)) \(words.joined(separator: " ")) : "
        + "\(Parameters.source) \(storage.rawValue)\(defines)")
  }

  func kernel(_ name: String, of source: ProgramSource) throws(OperationError) -> Kernel {
    try Kernel(name, of: program(source))
  }

  private func program(_ source: ProgramSource) throws(OperationError) -> ProgramHandle {
    if let program = programs[source] { return program }
    let key = source.key(for: device)
    let program: ProgramHandle
    if let binary = cache.load(key), let loaded = load(binary, options: source.options) {
      program = loaded
    } else {
      program = try build(source)
      if cache.isEnabled, let binary = binary(of: program) { cache.store(binary, key) }
    }
    programs[source] = program
    return program
  }

  /// The program from a binary of an earlier run; nil where the driver does not take it.
  private func load(_ binary: [UInt8], options: String) -> ProgramHandle? {
    binary.withUnsafeBufferPointer { bytes -> ProgramHandle? in
      var device: cl_device_id? = rawDevice
      var pointer = bytes.baseAddress
      var length = bytes.count
      var binaryStatus: cl_int = 0
      var status: cl_int = 0
      let raw = clCreateProgramWithBinary(context.raw, 1, &device, &length, &pointer, &binaryStatus, &status)
      guard let raw else { return nil }
      let program = ProgramHandle(owning: raw)
      guard status == CL_SUCCESS, binaryStatus == CL_SUCCESS else { return nil }
      return clBuildProgram(raw, 1, &device, options, nil, nil) == CL_SUCCESS ? program : nil
    }
  }

  private func build(_ source: ProgramSource) throws(OperationError) -> ProgramHandle {
    buildCount += 1
    var status: cl_int = 0
    let raw = source.text.withCString { text in
      var pointer: UnsafePointer<CChar>? = text
      return clCreateProgramWithSource(context.raw, 1, &pointer, nil, &status)
    }
    let program = try ProgramHandle(raw, status, "clCreateProgramWithSource", kernel: source.name)
    var device: cl_device_id? = rawDevice
    status = clBuildProgram(program.raw, 1, &device, source.options, nil, nil)
    if status != CL_SUCCESS {
      let log = try? text("clGetProgramBuildInfo", keepsLines: true) {
        clGetProgramBuildInfo(program.raw, rawDevice, cl_program_build_info(CL_PROGRAM_BUILD_LOG), $0, $1, $2)
      }
      throw OperationError(
        .buildFailure, "clBuildProgram",
        "\(statusName(status)) for \(source.name) with \(source.options)\n\(log ?? "(no build log)")")
    }
    return program
  }

  private func binary(of program: ProgramHandle) -> [UInt8]? {
    var size = 0
    guard
      clGetProgramInfo(
        program.raw, cl_program_info(CL_PROGRAM_BINARY_SIZES), MemoryLayout<Int>.size, &size, nil) == CL_SUCCESS,
      size > 0
    else { return nil }
    var bytes = [UInt8](repeating: 0, count: size)
    let status = bytes.withUnsafeMutableBufferPointer { bytes -> cl_int in
      var pointer = bytes.baseAddress
      return clGetProgramInfo(
        program.raw, cl_program_info(CL_PROGRAM_BINARIES), MemoryLayout<UnsafeMutablePointer<UInt8>?>.size, &pointer,
        nil)
    }
    return status == CL_SUCCESS ? bytes : nil
  }
}
