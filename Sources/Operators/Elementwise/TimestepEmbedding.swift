import Tensors

/// Sinusoids of a timestep (Vaswani et al., 2017; as Ho et al., 2020, use them), `[batch, dimension]`:
/// cosines and sines of `t * exp(-ln(10000) i / (dimension / 2 - frequencyShift))`, `i` in `0..<dimension / 2`.
public struct TimestepEmbedding: Sendable, Hashable {
  /// Even.
  public let dimension: Int
  /// Whether the cosines come first, as Stable Diffusion has it.
  public let flipsSineToCosine: Bool
  public let frequencyShift: Float

  public init(dimension: Int, flipsSineToCosine: Bool = true, frequencyShift: Float = 0) {
    self.dimension = dimension
    self.flipsSineToCosine = flipsSineToCosine
    self.frequencyShift = frequencyShift
  }
}
