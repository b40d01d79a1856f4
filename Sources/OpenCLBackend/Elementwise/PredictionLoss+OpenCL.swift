import Operators
import Tensors

/// The defines of `prediction_loss.cl`.
struct PredictionLossParameters: KernelParameters {
  static let source = "Elementwise/prediction_loss.cl"

  var isWeighted = false
  var isHuber = false
  var groupSize = 256

  var defines: [KernelDefine] {
    [
      KernelDefine("WEIGHTED", isWeighted ? 1 : 0), KernelDefine("HUBER", isHuber ? 1 : 0),
      KernelDefine("GROUP_SIZE", groupSize),
    ]
  }

  func check(_ limits: DeviceLimits) throws(OperationError) {
    try limits.check("prediction_loss", items: groupSize, localBytes: 4 * groupSize)
    guard groupSize.nonzeroBitCount == 1 else {
      throw OperationError(.unsupported, "prediction_loss", "\(groupSize) items can't be halved to one")
    }
  }
}

extension OpenCLBackend: ElementwiseBackend {
  public func forward(
    _ op: PredictionLoss, prediction: Tensor<OpenCLBuffer>, target: Tensor<OpenCLBuffer>,
    weights: Tensor<OpenCLBuffer>?
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let (parameters, huber) = try prepare(op, prediction, target, weights)
    let count = prediction.shape.count
    // An item sums 16 elements or more; 64 work-groups read as fast as any device can.
    let groups = max(1, min(64, count / (16 * parameters.groupSize)))
    let parts = try allocate([groups], .float32)
    let loss = try allocate([1], .float32)
    try run(
      "prediction_loss_partial", parameters, storage: prediction.type,
      WorkSize(groups: [groups], local: [parameters.groupSize]), parts, prediction, target, weights ?? target,
      huber ?? target, prediction.shape[0], count / max(1, prediction.shape[0]), channels(prediction))
    try run(
      "prediction_loss_total", parameters, storage: prediction.type,
      WorkSize(groups: [1], local: [parameters.groupSize]), loss, parts, groups, count)
    return loss
  }

  public func backwardInput(
    _ op: PredictionLoss, prediction: Tensor<OpenCLBuffer>, target: Tensor<OpenCLBuffer>,
    weights: Tensor<OpenCLBuffer>?, scale: Float
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let (parameters, huber) = try prepare(op, prediction, target, weights)
    let count = prediction.shape.count
    let result = try allocate(prediction.shape, prediction.type)
    try run(
      "prediction_loss_backward_input", parameters, storage: prediction.type,
      WorkSize(items: count, local: parameters.groupSize), result, prediction, target, weights ?? target,
      huber ?? target, prediction.shape[0], count / max(1, prediction.shape[0]), channels(prediction),
      Float(2 * Double(scale) / Double(max(count, 1))))
    return result
  }

  private func channels(_ prediction: Tensor<OpenCLBuffer>) -> Int {
    prediction.shape.rank > 1 ? prediction.shape.channels : 1
  }

  /// The program's parameters, and the thresholds on the device.
  private func prepare(
    _ op: PredictionLoss, _ prediction: Tensor<OpenCLBuffer>, _ target: Tensor<OpenCLBuffer>,
    _ weights: Tensor<OpenCLBuffer>?
  ) throws(OperationError) -> (PredictionLossParameters, huber: Tensor<OpenCLBuffer>?) {
    var huber: Tensor<OpenCLBuffer>?
    if let values = op.huber { huber = try upload(HostTensor([values.count], values), as: .float32) }
    return (PredictionLossParameters(isWeighted: weights != nil, isHuber: huber != nil), huber)
  }
}
