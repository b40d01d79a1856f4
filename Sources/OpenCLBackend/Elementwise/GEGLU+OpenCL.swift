import Operators
import Tensors

/// The defines of the kernels that move rows of channels and compute little: `geglu.cl`, `upsample.cl`, `concatenate_channels.cl`.
protocol ChannelwiseParameters: KernelParameters {
  var vector: ChannelVector { get }
}

extension ChannelwiseParameters {
  var defines: [KernelDefine] { [vector.define] }
  func check(_ limits: DeviceLimits) throws(OperationError) {
    try limits.check(Self.source, items: 256, localBytes: 0)
  }
}

struct GEGLUParameters: ChannelwiseParameters {
  static let source = "Elementwise/geglu.cl"
  let vector: ChannelVector
}

extension OpenCLBackend {
  public func forward(_ op: GEGLU, _ x: Tensor<OpenCLBuffer>) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let y = try allocate(try op.outputShape(x.shape), x.type)
    let parameters = GEGLUParameters(vector: ChannelVector(dividing: y.shape.channels))
    let vectors = y.shape.channels / parameters.vector.width
    try run(
      "geglu_forward", parameters, storage: x.type, WorkSize(items: y.shape.rows * vectors), y, x, y.shape.rows, vectors
    )
    return y
  }

  public func backwardInput(_ op: GEGLU, _ dy: Tensor<OpenCLBuffer>, x: Tensor<OpenCLBuffer>)
    throws(OperationError) -> Tensor<OpenCLBuffer>
  {
    let y = try op.outputShape(x.shape)
    let dx = try allocate(x.shape, x.type)
    let parameters = GEGLUParameters(vector: ChannelVector(dividing: y.channels))
    let vectors = y.channels / parameters.vector.width
    try run(
      "geglu_backward_input", parameters, storage: x.type, WorkSize(items: y.rows * vectors), dx, dy, x, y.rows, vectors
    )
    return dx
  }
}
