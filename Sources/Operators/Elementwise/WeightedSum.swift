import Tensors

/// A sum of two tensors with weights a sample: `y[i, ...] = a[i] x[i, ...] + b[i] z[i, ...]`.
///
/// With `a = √ᾱ`, `b = √(1 - ᾱ)` over latents and noise it adds a schedule's noise (Ho et al., "DDPM", 2020, equation 4); with
/// `a = √ᾱ`, `b = -√(1 - ᾱ)` over noise and latents it is the velocity that v-prediction aims at (Salimans and Ho, 2022).
public struct WeightedSum: Sendable, Hashable {
  /// One weight a sample for each of the two tensors.
  public let a: [Float]
  public let b: [Float]

  public init(a: [Float], b: [Float]) {
    self.a = a
    self.b = b
  }

  public func check(_ x: Shape, _ z: Shape) throws(OperationError) {
    try require(
      x == z && x.rank >= 1 && a.count == x[0] && b.count == x[0], "WeightedSum",
      "x \(x), z \(z), \(a.count) and \(b.count) weights")
  }
}
