import Tensors

/// Two tensors side by side on the innermost axis: `[..., a]` and `[..., b]` to `[..., a + b]`. Backward cuts in two.
public struct ConcatenateChannels: Sendable, Hashable {
  public init() {}

  public func outputShape(_ a: Shape, _ b: Shape) throws(OperationError) -> Shape {
    try require(
      a.rank == b.rank && a.dimensions.dropLast() == b.dimensions.dropLast(), "ConcatenateChannels", "\(a) and \(b)")
    return a.withChannels(a.channels + b.channels)
  }
}

extension ConcatenateChannels {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "ConcatenateChannels.forward"
    public static let pass = OperationPass.forward
    public let op: ConcatenateChannels
    public let a: TensorDescriptor
    public let b: TensorDescriptor

    public func results() throws(OperationError) -> [TensorDescriptor] {
      try require(b, "b", is: TensorDescriptor(b.shape, a.type))
      return [TensorDescriptor(try op.outputShape(a.shape, b.shape), a.type)]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "ConcatenateChannels.backwardInput"
    public static let pass = OperationPass.backward
    public let op: ConcatenateChannels
    public let dy: TensorDescriptor
    public let channels: Int

    public func results() throws(OperationError) -> [TensorDescriptor] {
      let all = dy.shape.channels
      try require(channels > 0 && channels < all, "\(dy) to be cut after \(channels)")
      return [channels, all - channels].map { TensorDescriptor(dy.shape.withChannels($0), dy.type) }
    }
  }
}
