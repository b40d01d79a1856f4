import Tensors

/// Random tensors of a test case: the same for the same seed, another for each call.
public struct RandomTensors {
  private var next: Int

  public init(seed: UInt64) { next = Int(seed) * 7919 }

  /// Normally distributed numbers, as they are after being stored as `type`.
  ///
  /// Tensors are cut from one long row of draws, which comes round again: drawing anew for every case would take longer than the
  /// operations that are tested.
  public mutating func normal(
    _ shape: Shape, as type: ElementType, deviation: Float = 1, mean: Float = 0
  ) -> HostTensor {
    let draws = Self.draws
    let start = next
    next += shape.count + 1
    return HostTensor(
      shape,
      [Float](unsafeUninitializedCapacity: shape.count) { buffer, count in
        for index in 0..<shape.count {
          buffer.initializeElement(
            at: index, to: type.rounded(mean + deviation * draws[(start + index) % draws.count]))
        }
        count = shape.count
      })
  }

  /// A prime number of them, so that no tensor's rows repeat.
  private static let draws = Philox(seed: 0, stream: 0x7E57).normals(131_071)
}
