import Tensors

/// Layer normalization over the innermost axis: `y = (x - mean) / deviation * scale + shift`, row by row.
///
/// `x` and `y` are `[..., channels]`, `scale` and `shift` are `[channels]` in float32 (Ba, Kiros and Hinton, 2016).
/// Backward, with `x̂` the normalized row and `g = dy scale`: `dx = r (g - mean(g) - x̂ mean(g x̂))`.
public struct LayerNorm: Sendable, Hashable {
  public let epsilon: Float

  public init(epsilon: Float) { self.epsilon = epsilon }

  /// The statistics, `[rows]` each, float32.
  public struct Saved<Storage: Sendable>: Sendable {
    public let mean: Tensor<Storage>
    public let reciprocalDeviation: Tensor<Storage>

    public init(mean: Tensor<Storage>, reciprocalDeviation: Tensor<Storage>) {
      self.mean = mean
      self.reciprocalDeviation = reciprocalDeviation
    }
  }

  /// Throws unless the parameters fit `x`.
  public func check(_ x: Shape, scale: Shape, shift: Shape? = nil) throws(OperationError) {
    try require(
      x.rank >= 1 && scale == [x.channels] && (shift == nil || shift == scale), "LayerNorm",
      "x is \(x), scale \(scale)")
  }

  public func cost(_ x: Shape, type: ElementType) -> Cost {
    Cost(flop: 8 * Double(x.count), bytes: Double(type.size * 2 * x.count))
  }
}
