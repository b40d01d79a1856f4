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
}

extension WeightedSum {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "WeightedSum.forward"
    public static let pass = OperationPass.forward
    public let op: WeightedSum
    public let x: TensorDescriptor
    public let z: TensorDescriptor
    public let type: ElementType

    public func results() throws(OperationError) -> [TensorDescriptor] {
      try require(
        x.shape.rank >= 1 && op.a.count == x.shape[0] && op.b.count == x.shape[0],
        "x is \(x), for \(op.a.count) and \(op.b.count) weights, a sample each")
      try require(x.type == .float32 || x.type == type, "x is \(x), for a result of \(type.rawValue)")
      try require(z, "z", is: x)
      return [TensorDescriptor(x.shape, type)]
    }
  }
}
