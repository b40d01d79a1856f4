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
