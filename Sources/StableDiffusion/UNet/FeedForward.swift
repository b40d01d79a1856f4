import Operators
import Tensors

/// A transformer block's gated perceptron, four times as wide inside: `y = W_2 geglu(W_1 x) + residual`, `[...,
/// width]`.
struct FeedForward<B: Backend> {
  private let backend: B
  private let widen: LinearLayer<B>
  private let narrow: LinearLayer<B>

  struct Saved: Sendable {
    /// GEGLU's input, `[..., 8 width]`.
    let widened: Tensor<B.Storage>
  }

  init(_ scope: WeightScope<B>, _ width: Int) throws {
    backend = scope.backend
    widen = try LinearLayer(scope["net.0.proj"], width, 8 * width)
    narrow = try LinearLayer(scope["net.2"], 4 * width, width)
  }

  func forward(_ x: Tensor<B.Storage>, residual: Tensor<B.Storage>)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    let saved = try self.saved(x)
    return (try narrow.forward(backend.forward(GEGLU(), saved.widened), residual: residual), saved)
  }

  /// What forward saves.
  func saved(_ x: Tensor<B.Storage>) throws(OperationError) -> Saved { Saved(widened: try widen.forward(x)) }

  /// `dx`; the residual's gradient is `dy` itself.
  func backward(_ dy: Tensor<B.Storage>, _ saved: Saved) throws(OperationError) -> Tensor<B.Storage> {
    try widen.backward(backend.backwardInput(GEGLU(), narrow.backward(dy), x: saved.widened))
  }
}
