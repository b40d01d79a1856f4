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
      x.rank == 4 && x.channels == inputs, "Convolution.forward",
      "x is \(x), [batch, height, width, \(inputs)] is asked for")
    try require(
      (kernel == 1 || kernel == 3) && (stride == 1 || stride == 2), "Convolution.forward",
      "kernel \(kernel) with stride \(stride); kernels of 1 and 3 with strides of 1 and 2 are known")
    let height = (x[1] + leadingPadding + trailingPadding - kernel) / stride + 1
    let width = (x[2] + leadingPadding + trailingPadding - kernel) / stride + 1
    try require(height > 0 && width > 0, "Convolution.forward", "x \(x) is smaller than the kernel")
    return [x[0], height, width, outputs]
  }

  /// What either direction takes for an input of the given shape.
  public func cost(_ x: Shape, type: ElementType) -> Cost {
    guard let y = try? outputShape(x) else { return Cost(flop: 0, bytes: 0) }
    let taps = kernel * kernel
    return Cost(
      flop: 2 * Double(y.count) * Double(inputs * taps),
      bytes: Double(type.size * (x.count + y.count + inputs * outputs * taps)))
  }
}

public protocol ConvolutionBackend: StorageBackend {
  /// Frozen weights in the layout that the kernels like best.
  associatedtype ConvolutionWeights: Sendable

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

extension ConvolutionBackend {
  /// Throws what every backend must refuse of a backward pass.
  public func requireBackward(_ op: Convolution, packedFor directions: Directions) throws(OperationError) {
    guard directions.contains(.backward) else {
      throw OperationError(.unsupported, "Convolution.backwardInput", "the weights were not packed for a backward pass")
    }
  }
}
