import Foundation
import Tensors

/// Sinusoids of a timestep (Vaswani et al., 2017; as Ho et al., 2020, use them), `[batch, dimension]`:
/// cosines and sines of `t * exp(-ln(10000) i / (h - frequencyShift))`, `i` in `0..<h`, `h = dimension / 2` rounded down.
/// A last channel that is left over is zero.
public struct TimestepEmbedding: Sendable, Hashable {
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

extension ElementwiseBackend {
  /// `[timesteps.count, op.dimension]` in the backend's precision.
  ///
  /// One way for every backend: a few hundred numbers a step, from timesteps that the host knows, and devices differ in how
  /// they take the sine of a large angle. Angles are 32-bit, rounded where diffusers rounds them: at timestep 999 a
  /// rounding is worth 3e-5, and Stable Diffusion was trained with them.
  public func forward(_ op: TimestepEmbedding, _ timesteps: [Float]) throws(OperationError) -> Tensor<Storage> {
    try require(op.dimension > 0, "TimestepEmbedding.forward", "a dimension of \(op.dimension)")
    let half = op.dimension / 2
    let frequencies = (0..<half).map { exp(Float(-log(10000.0)) * Float($0) / (Float(half) - op.frequencyShift)) }
    var values: [Float] = []
    for timestep in timesteps {
      let angles = frequencies.map { Double(timestep * $0) }
      let sines = angles.map { Float(sin($0)) }
      let cosines = angles.map { Float(cos($0)) }
      values += op.flipsSineToCosine ? cosines + sines : sines + cosines
      values += Array(repeating: 0, count: op.dimension % 2)
    }
    return try upload(HostTensor([timesteps.count, op.dimension], values), as: precision)
  }
}
