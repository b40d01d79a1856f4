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
