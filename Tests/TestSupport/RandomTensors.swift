import Tensors

/// Random tensors of a test case: the same for the same seed, another for each call.
public struct RandomTensors {
  private let seed: UInt64
  private var drawn: UInt32 = 0

  public init(seed: UInt64) { self.seed = seed }

  /// Normally distributed numbers, as they are after being stored as `type`.
  public mutating func normal(_ shape: Shape, as type: ElementType, deviation: Float = 1, mean: Float = 0) -> HostTensor
  {
    drawn += 1
    let draws = Philox(seed: seed, stream: 0x7E57, step: drawn).normals(shape.count)
    return type.rounded(HostTensor(shape, draws.map { mean + deviation * $0 }))
  }
}
