import Operators
import Tensors

/// `y = x * W + b + residual` with frozen weights: `x` is `[batch, height, width, inputs]`.
struct ConvolutionLayer<B: Backend> {
  private let backend: B
  private let op: Convolution
  private let weights: B.ConvolutionWeights

  init(
    _ scope: WeightScope<B>, _ inputs: Int, _ outputs: Int, kernel: Int = 3, stride: Int = 1,
    padding: Convolution.Padding = .same
  ) throws {
    backend = scope.backend
    op = Convolution(inputs: inputs, outputs: outputs, kernel: kernel, stride: stride, padding: padding)
    weights = try backend.pack(
      op, weight: scope.take("weight", [outputs, inputs, kernel, kernel]), bias: scope.take("bias", [outputs]),
      for: scope.directions)
  }

  func forward(_ x: Tensor<B.Storage>, residual: Residual<B.Storage>? = nil)
    throws(OperationError) -> Tensor<B.Storage>
  {
    try backend.forward(op, x, weights: weights, residual: residual)
  }

  /// `dx + residual`. Nothing was saved but, where a stride leaves it open, the shape of `x`.
  func backward(_ dy: Tensor<B.Storage>, inputShape: Shape? = nil, residual: Tensor<B.Storage>? = nil)
    throws(OperationError) -> Tensor<B.Storage>
  {
    try backend.backwardInput(
      op, dy, inputShape: inputShape ?? dy.shape.withChannels(op.inputs), weights: weights, residual: residual)
  }
}
