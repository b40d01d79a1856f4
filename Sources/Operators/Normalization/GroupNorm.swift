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

  /// Throws unless the operation fits `x`.
  public func check(_ x: Shape, scale: Shape, shift: Shape) throws(OperationError) {
    try require(
      x.rank >= 3 && groups > 0 && x.channels % groups == 0, "GroupNorm", "x is \(x), to fall into \(groups) groups")
    try require(
      scale == [x.channels] && shift == [x.channels], "GroupNorm", "x is \(x), scale \(scale), shift \(shift)")
    try require(activation == nil || activation == .silu, "GroupNorm", "SiLU alone can follow")
  }

  public func cost(_ x: Shape, type: ElementType) -> Cost {
    Cost(flop: 8 * Double(x.count), bytes: Double(type.size * 2 * x.count))
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
