import Operators
import Tensors

/// The defines of `mean_squared_error.cl`.
struct MeanSquaredErrorParameters: KernelParameters {
  static let source = "Elementwise/mean_squared_error.cl"

  var groupSize = 256

  var defines: [KernelDefine] { [KernelDefine("GROUP_SIZE", groupSize)] }

  func check(_ limits: DeviceLimits) throws(OperationError) {
    try limits.check("mean_squared_error", items: groupSize, localBytes: 4 * groupSize)
    guard groupSize.nonzeroBitCount == 1 else {
      throw OperationError(.unsupported, "mean_squared_error", "\(groupSize) items can't be halved to one")
    }
  }
}

extension OpenCLBackend: ElementwiseBackend {
  public func forward(_ op: MeanSquaredError, prediction: Tensor<OpenCLBuffer>, target: Tensor<OpenCLBuffer>)
    throws(OperationError) -> Tensor<OpenCLBuffer>
  {
    try check(op, prediction, target)
    let parameters = MeanSquaredErrorParameters()
    let count = prediction.shape.count
    // An item sums 16 elements or more; 64 work-groups read as fast as any device can.
    let groups = max(1, min(64, count / (16 * parameters.groupSize)))
    let parts = try allocate([groups], .float32)
    let loss = try allocate([1], .float32)
    try run(
      "mean_squared_error_partial", parameters, storage: prediction.type,
      WorkSize(groups: [groups], local: [parameters.groupSize]), parts, prediction, target, count)
    try run(
      "mean_squared_error_total", parameters, storage: prediction.type,
      WorkSize(groups: [1], local: [parameters.groupSize]), loss, parts, groups, count)
    return loss
  }

  public func backwardInput(
    _ op: MeanSquaredError, prediction: Tensor<OpenCLBuffer>, target: Tensor<OpenCLBuffer>, scale: Float
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    try check(op, prediction, target)
    let parameters = MeanSquaredErrorParameters()
    let count = prediction.shape.count
    let result = try allocate(prediction.shape, prediction.type)
    try run(
      "mean_squared_error_backward_input", parameters, storage: prediction.type,
      WorkSize(items: count, local: parameters.groupSize), result, prediction, target,
      count, Float(2 * Double(scale) / Double(max(count, 1))))
    return result
  }

  private func check(_ op: MeanSquaredError, _ prediction: Tensor<OpenCLBuffer>, _ target: Tensor<OpenCLBuffer>)
    throws(OperationError)
  {
    try op.check(prediction.shape, target.shape)
    try require(target.type == .float32, "MeanSquaredError", "the target is \(target.type.rawValue), not float32")
  }
}
