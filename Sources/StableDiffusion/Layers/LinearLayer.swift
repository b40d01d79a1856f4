import Operators
import Tensors

/// `y = activation(x Wᵀ + b) + residual` with frozen weights: `x` is `[..., inputs]`, `y` is `[..., outputs]`.
struct LinearLayer<B: Backend> {
  private let backend: B
  private let op: Linear
  private let weights: B.LinearWeights

  /// - Parameter isConvolution: whether the file holds `W` as a convolution of one pixel, `[outputs, inputs, 1, 1]`.
  init(
    _ scope: WeightScope<B>, _ inputs: Int, _ outputs: Int, bias: Bool = true, activation: Activation? = nil,
    isConvolution: Bool = false
  ) throws {
    backend = scope.backend
    op = Linear(inputs: inputs, outputs: outputs, activation: activation)
    let weight = try scope.take("weight", isConvolution ? [outputs, inputs, 1, 1] : [outputs, inputs])
    weights = try backend.pack(
      op, weight: weight.reshaped([outputs, inputs]), bias: bias ? scope.take("bias", [outputs]) : nil,
      for: scope.directions)
  }

  func forward(_ x: Tensor<B.Storage>, residual: Tensor<B.Storage>? = nil)
    throws(OperationError) -> Tensor<B.Storage>
  {
    try backend.forward(op, x, weights: weights, residual: residual)
  }

  /// `dx + residual`. Nothing was saved: `dx = dy W`.
  func backward(_ dy: Tensor<B.Storage>, residual: Tensor<B.Storage>? = nil)
    throws(OperationError) -> Tensor<B.Storage>
  {
    try backend.backwardInput(op, dy, weights: weights, residual: residual)
  }
}
