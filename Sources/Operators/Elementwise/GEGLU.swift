import Tensors

/// The gated unit of the UNet's feed-forward layers: `y = value * gelu(gate)` (Shazeer, "GLU variants", 2020).
///
/// `x` is `[..., 2 n]`, the value in its first half and the gate in its second; `y` is `[..., n]`. The GELU is exact.
public struct GEGLU: Sendable, Hashable {
  public init() {}

  public func outputShape(_ x: Shape) throws(OperationError) -> Shape {
    try require(x.rank >= 1 && x.channels % 2 == 0, "GEGLU", "x is \(x), its channels must be even")
    return x.withChannels(x.channels / 2)
  }
}

extension GEGLU {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "GEGLU.forward"
    public static let pass = OperationPass.forward
    public let op: GEGLU
    public let x: TensorDescriptor

    public func results() throws(OperationError) -> [TensorDescriptor] {
      return [TensorDescriptor(try op.outputShape(x.shape), x.type)]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "GEGLU.backwardInput"
    public static let pass = OperationPass.backward
    public let op: GEGLU
    public let dy: TensorDescriptor
    public let x: TensorDescriptor

    public func results() throws(OperationError) -> [TensorDescriptor] {
      try require(dy, "dy", is: TensorDescriptor(op.outputShape(x.shape), x.type))
      return [x]
    }
  }
}
