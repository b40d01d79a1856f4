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

  public func cost(_ x: Shape, type: ElementType) -> Cost {
    Cost(flop: 8 * Double(x.count), bytes: Double(type.size * 2 * x.count))
  }
}

extension LayerNorm {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "LayerNorm.forward"
    public static let pass = OperationPass.forward
    public let op: LayerNorm
    public let x: TensorDescriptor
    public let scale: TensorDescriptor
    public let shift: TensorDescriptor

    /// The result, mean and reciprocal deviation.
    public func results() throws(OperationError) -> [TensorDescriptor] {
      try require(x.shape.rank >= 1, "x is \(x), not [..., channels]")
      try require(scale, "scale", is: TensorDescriptor([x.shape.channels], .float32))
      try require(shift, "shift", is: scale)
      let statistics = TensorDescriptor([x.shape.rows], .float32)
      return [x, statistics, statistics]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "LayerNorm.backwardInput"
    public static let pass = OperationPass.backward
    public let op: LayerNorm
    public let dy: TensorDescriptor
    public let x: TensorDescriptor
    public let scale: TensorDescriptor
    public let mean: TensorDescriptor
    public let reciprocalDeviation: TensorDescriptor
    public let residual: TensorDescriptor?

    public func results() throws(OperationError) -> [TensorDescriptor] {
      try require(x.shape.rank >= 1, "x is \(x), not [..., channels]")
      try require(scale, "scale", is: TensorDescriptor([x.shape.channels], .float32))
      try require(dy, "dy", is: x)
      try require(mean, "the saved mean", is: TensorDescriptor([x.shape.rows], .float32))
      try require(reciprocalDeviation, "the saved deviation", is: mean)
      try require(residual, "the residual", is: x)
      return [x]
    }
  }
}
