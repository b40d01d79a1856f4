import Operators
import Tensors

struct ConcatenateChannelsParameters: ChannelwiseParameters {
  static let source = "Elementwise/concatenate_channels.cl"
  let vector: ChannelVector
}

extension OpenCLBackend {
  public func forward(_ op: ConcatenateChannels, _ a: Tensor<OpenCLBuffer>, _ b: Tensor<OpenCLBuffer>)
    throws(OperationError) -> Tensor<OpenCLBuffer>
  {
    let y = try allocate(try op.outputShape(a.shape, b.shape), a.type)
    let parameters = ConcatenateChannelsParameters(
      vector: ChannelVector(dividing: a.shape.channels, b.shape.channels))
    let width = parameters.vector.width
    try run(
      "concatenate_channels_forward", parameters, storage: a.type, WorkSize(items: y.shape.count / width),
      y, a, b, y.shape.rows, a.shape.channels / width, b.shape.channels / width)
    return y
  }

  public func backwardInput(_ op: ConcatenateChannels, _ dy: Tensor<OpenCLBuffer>, channels: Int)
    throws(OperationError) -> (a: Tensor<OpenCLBuffer>, b: Tensor<OpenCLBuffer>)
  {
    let all = dy.shape.channels
    let a = try allocate(dy.shape.withChannels(channels), dy.type)
    let b = try allocate(dy.shape.withChannels(all - channels), dy.type)
    let parameters = ConcatenateChannelsParameters(vector: ChannelVector(dividing: channels, all))
    let width = parameters.vector.width
    try run(
      "concatenate_channels_backward_input", parameters, storage: dy.type, WorkSize(items: dy.shape.count / width),
      a, b, dy, dy.shape.rows, channels / width, (all - channels) / width)
    return (a, b)
  }
}
