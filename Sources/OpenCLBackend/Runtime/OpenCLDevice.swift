import COpenCL
import Synchronization
import Tensors

/// A device that an OpenCL driver offers, with the limits that matter to kernels.
public struct OpenCLDevice: Sendable, Hashable, Codable {
  public enum Kind: String, Sendable, Hashable, Codable {
    case gpu, cpu, accelerator, other
  }

  /// Places in the driver's lists; `identifier` is made of them.
  public let platformIndex: Int
  public let deviceIndex: Int
  public let platform: String
  public let name: String
  public let vendor: String
  public let driver: String
  /// What the device says it implements, such as "OpenCL 3.0".
  public let version: String
  public let kind: Kind
  public let computeUnits: Int
  /// MHz.
  public let clockFrequency: Int
  public let maxWorkGroupSize: Int
  /// Bytes.
  public let localMemory: Int
  /// Bytes.
  public let globalMemory: Int
  /// The largest single buffer in bytes.
  public let maxAllocation: Int
  /// Whether `cl_khr_fp16` is there: arithmetic on 16-bit floats. Storage needs no extension.
  public let hasHalfArithmetic: Bool
  /// Floats the device likes to take at once.
  public let preferredVectorWidth: Int
  /// Floats of a vector register.
  public let nativeVectorWidth: Int

  enum CodingKeys: String, CodingKey {
    case platformIndex = "platform_index"
    case deviceIndex = "device_index"
    case platform, name, vendor, driver, version, kind
    case computeUnits = "compute_units"
    case clockFrequency = "clock_mhz"
    case maxWorkGroupSize = "max_work_group_size"
    case localMemory = "local_memory_bytes"
    case globalMemory = "global_memory_bytes"
    case maxAllocation = "max_allocation_bytes"
    case hasHalfArithmetic = "fp16"
    case preferredVectorWidth = "preferred_vector_width"
    case nativeVectorWidth = "native_vector_width"
  }

  /// The word that names the device on the command line: `opencl:P.D`.
  public var identifier: String { "opencl:\(platformIndex).\(deviceIndex)" }
}

/// The devices of this machine.
public enum OpenCLDevices {
  /// Every device of every platform; empty where no driver is installed.
  public static func list() throws(OperationError) -> [OpenCLDevice] {
    try enumerate().map(\.device)
  }

  /// The device that `word` names: `opencl:P.D`, or `opencl` for the first GPU, else the first device of any kind.
  public static func named(_ word: String) throws(UserError) -> OpenCLDevice {
    let devices: [OpenCLDevice]
    do {
      devices = try list()
    } catch {
      throw UserError(.noDevice, "OpenCL devices can't be listed: \(error)")
    }
    if word == "opencl" {
      if let first = devices.first(where: { $0.kind == .gpu }) ?? devices.first { return first }
      throw UserError(.noDevice, "no OpenCL device is here; install a driver, or use --device cpu")
    }
    guard isWellFormed(word) else {
      throw UserError(.usage, "'\(word)' is no OpenCL device; write opencl or opencl:PLATFORM.DEVICE")
    }
    if let device = devices.first(where: { $0.identifier == word }) { return device }
    let known = devices.isEmpty ? "there is none" : "there are " + devices.map(\.identifier).joined(separator: ", ")
    throw UserError(.noDevice, "no OpenCL device \(word); \(known)")
  }

  private static func isWellFormed(_ word: String) -> Bool {
    guard word.hasPrefix("opencl:") else { return false }
    let parts = word.dropFirst("opencl:".count).split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 2
      && parts.allSatisfy { !$0.isEmpty && $0.allSatisfy(\.isASCII) && Int($0).map { $0 >= 0 } == true }
  }

  /// The driver's own name for a device found earlier.
  static func raw(_ device: OpenCLDevice) throws(OperationError) -> cl_device_id {
    for entry in try enumerate() where entry.device.identifier == device.identifier { return entry.raw }
    throw OperationError(.deviceLost, "clGetDeviceIDs", "\(device.identifier) (\(device.name)) is gone")
  }

  /// One asks at a time: drivers come up with the first question, and PoCL falls down over two first ones at once.
  private static let turn = Mutex(())

  private static func enumerate() throws(OperationError) -> [(device: OpenCLDevice, raw: cl_device_id)] {
    try turn.withLock { _ throws(OperationError) in try enumerateInTurn() }
  }

  private static func enumerateInTurn() throws(OperationError) -> [(device: OpenCLDevice, raw: cl_device_id)] {
    var count: cl_uint = 0
    let status = clGetPlatformIDs(0, nil, &count)
    // CL_PLATFORM_NOT_FOUND_KHR: the loader is there and no driver is.
    if status == -1001 || (status == CL_SUCCESS && count == 0) { return [] }
    try check(status, "clGetPlatformIDs")
    var platforms = [cl_platform_id?](repeating: nil, count: Int(count))
    try check(clGetPlatformIDs(count, &platforms, nil), "clGetPlatformIDs")

    var result: [(OpenCLDevice, cl_device_id)] = []
    for (platformIndex, platform) in platforms.enumerated() {
      guard let platform else { continue }
      var deviceCount: cl_uint = 0
      let all = cl_device_type(UInt32.max)
      let status = clGetDeviceIDs(platform, all, 0, nil, &deviceCount)
      if status == CL_DEVICE_NOT_FOUND || deviceCount == 0 { continue }
      try check(status, "clGetDeviceIDs")
      var devices = [cl_device_id?](repeating: nil, count: Int(deviceCount))
      try check(clGetDeviceIDs(platform, all, deviceCount, &devices, nil), "clGetDeviceIDs")
      for (deviceIndex, device) in devices.enumerated() {
        guard let device else { continue }
        let place = (platform: platformIndex, device: deviceIndex)
        result.append((try OpenCLDevice(platform: platform, device: device, place: place), device))
      }
    }
    return result
  }
}

extension OpenCLDevice {
  fileprivate init(platform: cl_platform_id, device: cl_device_id, place: (platform: Int, device: Int))
    throws(OperationError)
  {
    platformIndex = place.platform
    deviceIndex = place.device
    self.platform = try text("clGetPlatformInfo") {
      clGetPlatformInfo(platform, cl_platform_info(CL_PLATFORM_NAME), $0, $1, $2)
    }
    func words(_ what: Int32) throws(OperationError) -> String {
      try text("clGetDeviceInfo") { clGetDeviceInfo(device, cl_device_info(what), $0, $1, $2) }
    }
    func number<Number: FixedWidthInteger>(_ what: Int32, _ type: Number.Type) throws(OperationError) -> Int {
      var value: Number = 0
      try check(
        clGetDeviceInfo(device, cl_device_info(what), MemoryLayout<Number>.size, &value, nil), "clGetDeviceInfo")
      return Int(clamping: value)
    }
    name = try words(CL_DEVICE_NAME)
    vendor = try words(CL_DEVICE_VENDOR)
    driver = try words(CL_DRIVER_VERSION)
    version = try words(CL_DEVICE_VERSION)
    let type = try number(CL_DEVICE_TYPE, cl_device_type.self)
    if type & Int(CL_DEVICE_TYPE_GPU) != 0 {
      kind = .gpu
    } else if type & Int(CL_DEVICE_TYPE_CPU) != 0 {
      kind = .cpu
    } else {
      kind = type & Int(CL_DEVICE_TYPE_ACCELERATOR) != 0 ? .accelerator : .other
    }
    computeUnits = try number(CL_DEVICE_MAX_COMPUTE_UNITS, cl_uint.self)
    clockFrequency = try number(CL_DEVICE_MAX_CLOCK_FREQUENCY, cl_uint.self)
    maxWorkGroupSize = try number(CL_DEVICE_MAX_WORK_GROUP_SIZE, Int.self)
    localMemory = try number(CL_DEVICE_LOCAL_MEM_SIZE, cl_ulong.self)
    globalMemory = try number(CL_DEVICE_GLOBAL_MEM_SIZE, cl_ulong.self)
    maxAllocation = try number(CL_DEVICE_MAX_MEM_ALLOC_SIZE, cl_ulong.self)
    preferredVectorWidth = try number(CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT, cl_uint.self)
    nativeVectorWidth = try number(CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, cl_uint.self)
    hasHalfArithmetic = try words(CL_DEVICE_EXTENSIONS).split(separator: " ").contains("cl_khr_fp16")
  }
}

/// A string that an information call gives in two steps, without the blanks that drivers pad names with.
func text(
  _ call: StaticString, keepsLines: Bool = false,
  _ query: (Int, UnsafeMutableRawPointer?, UnsafeMutablePointer<Int>?) -> cl_int
) throws(OperationError) -> String {
  var length = 0
  try check(query(0, nil, &length), call)
  var bytes = [UInt8](repeating: 0, count: length)
  try check(query(length, &bytes, nil), call)
  let content = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  if keepsLines { return content }
  return content.split(whereSeparator: \.isWhitespace).joined(separator: " ")
}
