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

  public var weightShape: Shape { [outputs, inputs] }

  /// What either direction takes over `rows` rows.
  public func cost(rows: Int, type: ElementType) -> Cost {
    Cost(
      flop: 2 * Double(rows) * Double(inputs) * Double(outputs),
      bytes: Double(type.size * (rows * (inputs + outputs) + inputs * outputs)))
  }
}

extension Linear {
  public struct PackCall: OperationCall {
    public static let name: StaticString = "Linear.pack"
    public static let pass = OperationPass.loading
    public let op: Linear
    public let weight: Shape
    public let bias: Shape?
    public let directions: Directions

    public func results() throws(OperationError) -> [TensorDescriptor] {
      try require(weight == op.weightShape, "a weight of \(weight), not \(op.weightShape)")
      try require(bias == nil || bias == [op.outputs], "a bias of \(bias ?? []), not \([op.outputs] as Shape)")
      return []
    }
  }

  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "Linear.forward"
    public static let pass = OperationPass.forward
    public let op: Linear
    public let x: TensorDescriptor
    public let weights: WeightsDescriptor
    public let residual: TensorDescriptor?

    public func results() throws(OperationError) -> [TensorDescriptor] {
      let y = TensorDescriptor(try op.outputShape(x.shape), x.type)
      try require(weights, of: op.weightShape, for: .forward, type: x.type)
      try require(residual, "the residual", is: y)
      return [y]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "Linear.backwardInput"
    public static let pass = OperationPass.backward
    public let op: Linear
    public let dy: TensorDescriptor
    public let weights: WeightsDescriptor
    public let residual: TensorDescriptor?

    public func results() throws(OperationError) -> [TensorDescriptor] {
      let dx = TensorDescriptor(try op.inputShape(dy.shape), dy.type)
      guard op.activation == nil else {
        throw OperationError(.unsupported, "\(Self.name)", "the activation is fused: there is no way back through it")
      }
      try require(weights, of: op.weightShape, for: .backward, type: dy.type)
      try require(residual, "the residual", is: dx)
      return [dx]
    }
  }
}

public protocol MatmulBackend: StorageBackend {
  /// Frozen weights in the layout that the kernels like best.
  associatedtype LinearWeights: LayerWeights

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
