import Tensors

/// The sum over a feature map's pixels, channel by channel: `[batch, ..., channels]` to `[batch, channels]`,
/// `y[i, c] = sum over the pixels p of x[i, p, c]`.
///
/// It is the way back of what is added at every pixel (`Residual.channels`): over `dy` it makes that addend's gradient. Sums
/// are taken in 32 bits, in an order that depends on the shape alone.
public struct PixelSum: Sendable, Hashable {
  public init() {}

  public func outputShape(_ x: Shape) throws(OperationError) -> Shape {
    try require(x.rank >= 2, "PixelSum", "x is \(x), not [batch, ..., channels]")
    return [x[0], x.channels]
  }

  /// How many pixels a sample of `x` has.
  public func pixels(_ x: Shape) -> Int { x.dimensions.dropFirst().dropLast().reduce(1, *) }
}

extension PixelSum {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "PixelSum.forward"
    public static let pass = OperationPass.either
    public let op: PixelSum
    public let x: TensorDescriptor

    public func results() throws(OperationError) -> [TensorDescriptor] {
      return [TensorDescriptor(try op.outputShape(x.shape), x.type)]
    }
  }
}
