import Tensors

/// Group normalization over NHWC, with an activation behind it: `y = activation((x - mean) / deviation * scale + shift)`.
///
/// `x` and `y` are `[batch, height, width, channels]` or `[batch, tokens, channels]`; mean and deviation are taken over the
/// pixels and the `channels / groups` neighbouring channels of a group (Wu and He, "Group normalization", 2018); `scale` and
/// `shift` are `[channels]` in float32. Backward, with `x̂ = (x - mean) r`, `r = 1 / deviation`, `g = dy activation'(..) scale`
/// and means over the group:
///
///     dx = r (g - mean(g) - x̂ mean(g x̂))
public struct GroupNorm: Sendable, Hashable {
  public let groups: Int
  public let epsilon: Float
  /// None or SiLU.
  public let activation: Activation?

  public init(groups: Int, epsilon: Float, activation: Activation? = nil) {
    self.groups = groups
    self.epsilon = epsilon
    self.activation = activation
  }

  /// The statistics, `[batch, groups]` each, float32.
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

extension GroupNorm {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "GroupNorm.forward"
    public static let pass = OperationPass.forward
    public let op: GroupNorm
    public let x: TensorDescriptor
    public let scale: TensorDescriptor
    public let shift: TensorDescriptor

    /// The result, mean and reciprocal deviation.
    public func results() throws(OperationError) -> [TensorDescriptor] {
      let channels = x.shape.channels
      try require(
        x.shape.rank >= 3 && op.groups > 0 && channels % op.groups == 0, "x is \(x), to fall into \(op.groups) groups")
      try require(op.activation == nil || op.activation == .silu, "SiLU alone can follow")
      try require(scale, "scale", is: TensorDescriptor([channels], .float32))
      try require(shift, "shift", is: TensorDescriptor([channels], .float32))
      let statistics = TensorDescriptor([x.shape[0], op.groups], .float32)
      return [x, statistics, statistics]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "GroupNorm.backwardInput"
    public static let pass = OperationPass.backward
    public let forward: ForwardCall
    public let dy: TensorDescriptor
    public let mean: TensorDescriptor
    public let reciprocalDeviation: TensorDescriptor
    public let residual: TensorDescriptor?

    public func results() throws(OperationError) -> [TensorDescriptor] {
      let saved = try results(of: forward)
      try require(dy, "dy", is: forward.x)
      try require(mean, "the saved mean", is: saved[1])
      try require(reciprocalDeviation, "the saved deviation", is: saved[2])
      try require(residual, "the residual", is: forward.x)
      return [forward.x]
    }
  }
}

public protocol NormalizationBackend: StorageBackend {
  func forward(_ op: GroupNorm, _ x: Tensor<Storage>, scale: Tensor<Storage>, shift: Tensor<Storage>)
    throws(OperationError) -> (y: Tensor<Storage>, saved: GroupNorm.Saved<Storage>)

  /// `dx`, plus `residual` of the same shape.
  func backwardInput(
    _ op: GroupNorm, _ dy: Tensor<Storage>, x: Tensor<Storage>, scale: Tensor<Storage>, shift: Tensor<Storage>,
    saved: GroupNorm.Saved<Storage>, residual: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage>

  func forward(_ op: LayerNorm, _ x: Tensor<Storage>, scale: Tensor<Storage>, shift: Tensor<Storage>)
    throws(OperationError) -> (y: Tensor<Storage>, saved: LayerNorm.Saved<Storage>)

  /// `dx`, plus `residual` of the same shape.
  func backwardInput(
    _ op: LayerNorm, _ dy: Tensor<Storage>, x: Tensor<Storage>, scale: Tensor<Storage>,
    saved: LayerNorm.Saved<Storage>, residual: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage>
}
