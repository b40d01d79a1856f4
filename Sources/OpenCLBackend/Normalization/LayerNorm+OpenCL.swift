import Operators
import Tensors

/// The defines of `layer_norm.cl`.
struct LayerNormParameters: KernelParameters {
  static let source = "Normalization/layer_norm.cl"

  let vector: ChannelVector
  /// Items that share a row.
  var groupSize = 64

  var defines: [KernelDefine] { [vector.define, KernelDefine("GROUP_SIZE", groupSize)] }

  func check(_ limits: DeviceLimits) throws(OperationError) {
    try limits.check("layer_norm", items: groupSize, localBytes: 8 * groupSize)
    guard groupSize.nonzeroBitCount == 1 else {
      throw OperationError(.unsupported, "layer_norm", "\(groupSize) items can't be halved to one")
    }
  }
}

extension OpenCLBackend: NormalizationBackend {
  public func forward(
    _ op: LayerNorm, _ x: Tensor<OpenCLBuffer>, scale: Tensor<OpenCLBuffer>, shift: Tensor<OpenCLBuffer>
  ) throws(OperationError) -> (y: Tensor<OpenCLBuffer>, saved: LayerNorm.Saved<OpenCLBuffer>) {
    let parameters = LayerNormParameters(vector: ChannelVector(dividing: x.shape.channels))
    let y = try allocate(x.shape, x.type)
    let mean = try allocate([x.shape.rows], .float32)
    let reciprocal = try allocate([x.shape.rows], .float32)
    if x.shape.count > 0 {
      try run(
        "layer_norm_forward", parameters, storage: x.type,
        WorkSize(groups: [x.shape.rows], local: [parameters.groupSize]), y, mean, reciprocal, x, scale, shift,
        x.shape.channels, op.epsilon)
    }
    return (y, LayerNorm.Saved(mean: mean, reciprocalDeviation: reciprocal))
  }

  public func backwardInput(
    _ op: LayerNorm, _ dy: Tensor<OpenCLBuffer>, x: Tensor<OpenCLBuffer>, scale: Tensor<OpenCLBuffer>,
    saved: LayerNorm.Saved<OpenCLBuffer>, residual: Tensor<OpenCLBuffer>?
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let parameters = LayerNormParameters(vector: ChannelVector(dividing: x.shape.channels))
    let dx = try allocate(x.shape, x.type)
    if x.shape.count > 0 {
      try run(
        "layer_norm_backward_input", parameters, storage: x.type,
        WorkSize(groups: [x.shape.rows], local: [parameters.groupSize]), dx, dy, x, scale, saved.mean,
        saved.reciprocalDeviation, residual ?? dy, x.shape.channels, residual == nil ? 0 : 1)
    }
    return dx
  }
}
