import Tensors

/// What a kernel may ask for: the least of what the device offers and what every consumer GPU offers.
///
/// CPU devices allow groups of thousands of items and a megabyte of local memory; a kernel that takes them up passes its tests
/// there and fails on the first GPU.
struct DeviceLimits: Sendable, Hashable {
  static let universalWorkGroupSize = 256
  static let universalLocalMemory = 32 << 10

  let workGroupSize: Int
  /// Bytes.
  let localMemory: Int
  /// Bytes of one buffer.
  let allocation: Int
  /// Bytes of all buffers.
  let memory: Int

  init(_ device: OpenCLDevice) {
    workGroupSize = min(device.maxWorkGroupSize, DeviceLimits.universalWorkGroupSize)
    localMemory = min(device.localMemory, DeviceLimits.universalLocalMemory)
    allocation = device.maxAllocation
    memory = device.globalMemory
  }

  /// Throws unless a group of `items` with `localBytes` of local memory runs everywhere.
  func check(_ kernel: String, items: Int, localBytes: Int) throws(OperationError) {
    guard items >= 1 && items <= workGroupSize else {
      throw OperationError(.unsupported, kernel, "a group of \(items) items; \(workGroupSize) are allowed")
    }
    guard localBytes <= localMemory else {
      throw OperationError(.unsupported, kernel, "\(localBytes) bytes of local memory; \(localMemory) are allowed")
    }
  }
}
