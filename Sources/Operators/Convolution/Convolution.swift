import Tensors

/// A two-dimensional convolution over NHWC with frozen weights: `y = x * W + b + residual`.
///
/// `x` is `[batch, height, width, inputs]`, `W` is `[outputs, inputs, kernel, kernel]` as PyTorch stores it, `b` is
/// `[outputs]`, `y` is `[batch, (height + padding - kernel) / stride + 1, ..., outputs]`.
/// Backward to the input is the convolution of `dy`, dilated by the stride, with the flipped taps; nothing is saved.
public struct Convolution: Sendable, Hashable {
  /// Zeros put round the picture.
  public enum Padding: Sendable, Hashable {
    /// `kernel / 2` on every side.
    case same
    /// One row below and one column to the right, as the VAE encoder's downsampling has it.
    case trailing
  }

  public let inputs: Int
  public let outputs: Int
  /// 1 or 3.
  public let kernel: Int
  /// 1 or 2.
  public let stride: Int
  public let padding: Padding

  public init(inputs: Int, outputs: Int, kernel: Int = 3, stride: Int = 1, padding: Padding = .same) {
    self.inputs = inputs
    self.outputs = outputs
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
  }

  /// Zeros above and to the left.
  public var leadingPadding: Int { padding == .same ? kernel / 2 : 0 }
  /// Zeros below and to the right.
  public var trailingPadding: Int { padding == .same ? kernel / 2 : 1 }

  /// The shape of `y` for an `x` of the given shape.
  public func outputShape(_ x: Shape) throws(OperationError) -> Shape {
    try require(
      x.rank == 4 && x.channels == inputs, "Convolution",
      "x is \(x), [batch, height, width, \(inputs)] is asked for")
    try require(
      (kernel == 1 || kernel == 3) && (stride == 1 || stride == 2), "Convolution",
      "kernel \(kernel) with stride \(stride); kernels of 1 and 3 with strides of 1 and 2 are known")
    let height = (x[1] + leadingPadding + trailingPadding - kernel) / stride + 1
    let width = (x[2] + leadingPadding + trailingPadding - kernel) / stride + 1
    try require(height > 0 && width > 0, "Convolution", "x \(x) is smaller than the kernel")
    return [x[0], height, width, outputs]
  }

  public var weightShape: Shape { [outputs, inputs, kernel, kernel] }

  /// What either direction takes for an input of the given shape.
  public func cost(_ x: Shape, type: ElementType) -> Cost {
    guard let y = try? outputShape(x) else { return Cost(flop: 0, bytes: 0) }
    let taps = kernel * kernel
    return Cost(
      flop: 2 * Double(y.count) * Double(inputs * taps),
      bytes: Double(type.size * (x.count + y.count + inputs * outputs * taps)))
  }
}

extension Convolution {
  public struct PackCall: OperationCall {
    public static let name: StaticString = "Convolution.pack"
    public static let pass = OperationPass.loading
    public let op: Convolution
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
    public static let name: StaticString = "Convolution.forward"
    public static let pass = OperationPass.forward
    public let op: Convolution
    public let x: TensorDescriptor
    public let weights: WeightsDescriptor
    /// What is added to the result, if anything: all of it, or what each sample adds to every pixel.
    public let residual: TensorDescriptor?
    public let isResidualOfPixels: Bool

    public func results() throws(OperationError) -> [TensorDescriptor] {
      let y = TensorDescriptor(try op.outputShape(x.shape), x.type)
      try require(weights, of: op.weightShape, for: .forward, type: x.type)
      let added = isResidualOfPixels ? TensorDescriptor([y.shape[0], op.outputs], x.type) : y
      try require(residual, "the residual", is: added)
      return [y]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "Convolution.backwardInput"
    public static let pass = OperationPass.backward
    public let op: Convolution
    public let dy: TensorDescriptor
    public let inputShape: Shape
    public let weights: WeightsDescriptor
    public let residual: TensorDescriptor?

    public func results() throws(OperationError) -> [TensorDescriptor] {
      let dx = TensorDescriptor(inputShape, dy.type)
      try require(dy, "dy", is: TensorDescriptor(op.outputShape(inputShape), dy.type))
      try require(weights, of: op.weightShape, for: .backward, type: dy.type)
      try require(residual, "the residual", is: dx)
      return [dx]
    }
  }
}

public protocol ConvolutionBackend: StorageBackend {
  /// Frozen weights in the layout that the kernels like best.
  associatedtype ConvolutionWeights: LayerWeights

  /// Packs `weight` `[outputs, inputs, kernel, kernel]` and `bias` `[outputs]`, once, at load.
  func pack(_ op: Convolution, weight: HostTensor, bias: HostTensor?, for directions: Directions)
    throws(OperationError) -> ConvolutionWeights

  /// `y = x * W + b + residual`, in the type of `x`.
  func forward(
    _ op: Convolution, _ x: Tensor<Storage>, weights: ConvolutionWeights, residual: Residual<Storage>?
  ) throws(OperationError) -> Tensor<Storage>

  /// `dx` of the shape `inputShape`, plus `residual` of the same shape.
  func backwardInput(
    _ op: Convolution, _ dy: Tensor<Storage>, inputShape: Shape, weights: ConvolutionWeights,
    residual: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage>
}
