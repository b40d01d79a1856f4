import Tensors

/// All that a UNet is told of the picture to make, beside the timestep.
public struct Conditioning<Storage: Sendable>: Sendable {
  /// The text, token by token, `[batch, length, contextWidth]`: what cross-attention reads.
  public var context: Tensor<Storage>
  /// The text in one vector, `[batch, pooledWidth]`; nil where the model takes none.
  public var pooled: Tensor<Storage>?
  /// Six numbers a sample: height and width of the picture as it was, the top and left of what was cut out of it, height and
  /// width of what was made of that, all in pixels (Podell et al., "SDXL", 2023); nil where the model takes none.
  public var sizes: [[Float]]?

  public init(context: Tensor<Storage>, pooled: Tensor<Storage>? = nil, sizes: [[Float]]? = nil) {
    self.context = context
    self.pooled = pooled
    self.sizes = sizes
  }
}

/// The gradients of a `Conditioning`.
public struct ConditioningGradient<Storage: Sendable>: Sendable {
  public var context: Tensor<Storage>
  /// nil where the model takes no pooled text, or was not built for its gradient.
  public var pooled: Tensor<Storage>?

  public init(context: Tensor<Storage>, pooled: Tensor<Storage>? = nil) {
    self.context = context
    self.pooled = pooled
  }
}
