import Operators
import Tensors

/// The defines of `convert.cl`: none beside the storage type.
struct ConvertParameters: KernelParameters {
  static let source = "Elementwise/convert.cl"
  var defines: [KernelDefine] { [] }
  func check(_ limits: DeviceLimits) throws(OperationError) {}
}

extension OpenCLBackend {
  /// Floats that pass through the device's staging memory at once: rounding to 16 bits is the device's own.
  private static let piece = 8 << 20

  public func upload(_ tensor: HostTensor, as type: ElementType) throws(OperationError) -> Tensor<OpenCLBuffer> {
    if type == .float32 {
      return Tensor(shape: tensor.shape, type: type, storage: try upload(tensor.values))
    }
    let result = try allocate(tensor.shape, type)
    var offset = 0
    while offset < tensor.values.count {
      let count = min(OpenCLBackend.piece, tensor.values.count - offset)
      let floats = try pool.take(4 * count)
      try tensor.values.withUnsafeBufferPointer { (values) throws(OperationError) in
        try queue.write(
          UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: values[offset..<offset + count])), to: floats)
      }
      try run(
        "convert_from_float", ConvertParameters(), storage: type, WorkSize(items: (count + 3) / 4), result, floats,
        offset, count)
      offset += count
    }
    return result
  }

  public func download(_ tensor: Tensor<OpenCLBuffer>) throws(OperationError) -> HostTensor {
    let count = tensor.shape.count
    var floats = tensor.storage
    if tensor.type != .float32 {
      floats = try pool.take(4 * count)
      try run(
        "convert_to_float", ConvertParameters(), storage: tensor.type, WorkSize(items: (count + 3) / 4), floats,
        tensor.storage, 0, count)
    }
    var values = [Float](repeating: 0, count: count)
    try values.withUnsafeMutableBufferPointer { (values) throws(OperationError) in
      try queue.read(floats, into: UnsafeMutableRawBufferPointer(values))
    }
    return HostTensor(tensor.shape, values)
  }
}
