import Tensors

/// A linear layer with frozen weights: `y = activation(x Wᵀ + b) + residual`.
///
/// `x` is `[..., inputs]`, `W` is `[outputs, inputs]` as PyTorch stores it, `b` is `[outputs]`, `y` and `residual` are
/// `[..., outputs]`. A 1x1 convolution over NHWC is the same operation.
/// Backward to the input: `dx = dy W`; nothing is saved. The activation is for paths that need no gradient.
public struct Linear: Sendable, Hashable {
  public let inputs: Int
  public let outputs: Int
  public let activation: Activation?

  public init(inputs: Int, outputs: Int, activation: Activation? = nil) {
    self.inputs = inputs
    self.outputs = outputs
    self.activation = activation
  }

  /// The shape of `y` for an `x` of the given shape.
  public func outputShape(_ x: Shape) throws(OperationError) -> Shape {
    try require(x.rank >= 1 && x.channels == inputs, "Linear.forward", "x is \(x), \(inputs) inputs are asked for")
    return x.withChannels(outputs)
  }

  /// The shape of `dx` for a `dy` of the given shape.
  public func inputShape(_ dy: Shape) throws(OperationError) -> Shape {
    try require(dy.rank >= 1 && dy.channels == outputs, "Linear.backwardInput", "dy is \(dy), not \(outputs) outputs")
    return dy.withChannels(inputs)
  }

  /// What either direction takes over `rows` rows.
  public func cost(rows: Int, type: ElementType) -> Cost {
    Cost(
      flop: 2 * Double(rows) * Double(inputs) * Double(outputs),
      bytes: Double(type.size * (rows * (inputs + outputs) + inputs * outputs)))
  }
}

public protocol MatmulBackend: StorageBackend {
  /// Frozen weights in the layout that the kernels like best.
  associatedtype LinearWeights: Sendable

  /// Packs `weight` `[outputs, inputs]` and `bias` `[outputs]`, once, at load.
  func pack(_ op: Linear, weight: HostTensor, bias: HostTensor?, for directions: Directions)
    throws(OperationError) -> LinearWeights

  /// `y = activation(x Wᵀ + b) + residual`, in the type of `x`.
  func forward(_ op: Linear, _ x: Tensor<Storage>, weights: LinearWeights, residual: Tensor<Storage>?)
    throws(OperationError) -> Tensor<Storage>

  /// `dx = dy W + residual`. Fails with `unsupported` where an activation is fused or backward was not packed.
  func backwardInput(_ op: Linear, _ dy: Tensor<Storage>, weights: LinearWeights, residual: Tensor<Storage>?)
    throws(OperationError) -> Tensor<Storage>
}

extension MatmulBackend {
  /// Throws what every backend must refuse of a backward pass.
  public func requireBackward(_ op: Linear, packedFor directions: Directions) throws(OperationError) {
    guard op.activation == nil, directions.contains(.backward) else {
      throw OperationError(.unsupported, "Linear.backwardInput", "the weights were not packed for a backward pass")
    }
  }
}
