import Operators
import Tensors

struct UpsampleParameters: ChannelwiseParameters {
  static let source = "Elementwise/upsample.cl"
  let vector: ChannelVector
}

extension OpenCLBackend {
  public func forward(_ op: Upsample, _ x: Tensor<OpenCLBuffer>) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let y = try allocate(try op.outputShape(x.shape), x.type)
    try runUpsample("upsample_forward", y, x, small: x.shape, large: y.shape)
    return y
  }

  public func backwardInput(_ op: Upsample, _ dy: Tensor<OpenCLBuffer>) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let dx = try allocate(try op.inputShape(dy.shape), dy.type)
    try runUpsample("upsample_backward_input", dx, dy, small: dx.shape, large: dy.shape)
    return dx
  }

  private func runUpsample(
    _ kernel: String, _ output: Tensor<OpenCLBuffer>, _ input: Tensor<OpenCLBuffer>, small: Shape, large: Shape
  ) throws(OperationError) {
    let parameters = UpsampleParameters(vector: ChannelVector(dividing: small.channels))
    let vectors = small.channels / parameters.vector.width
    try run(
      kernel, parameters, storage: input.type, WorkSize(items: small.rows * vectors), output, input, small.rows,
      small[1], small[2], large[1], large[2], vectors)
  }
}
