import Operators
import Tensors

/// Attention of a picture's features to the context: `y = W_o attention(W_q x, W_k context, W_v context) + residual`.
///
/// `x` is `[batch, pixels, width]`, `context` is `[batch, tokens, contextWidth]`.
struct CrossAttentionLayer<B: Backend> {
  private let backend: B
  private let op: Attention
  private let reach: GradientReach
  private let toQuery: LinearLayer<B>
  private let toKey: LinearLayer<B>
  private let toValue: LinearLayer<B>
  private let toOutput: LinearLayer<B>

  struct Saved: Sendable {
    let q: Tensor<B.Storage>
    let k: Tensor<B.Storage>
    let v: Tensor<B.Storage>
    let attention: Attention.Saved<B.Storage>
  }

  init(_ scope: WeightScope<B>, width: Int, heads: Int, contextWidth: Int, reach: GradientReach) throws {
    backend = scope.backend
    op = Attention(heads: heads, headDimension: width / heads)
    self.reach = reach
    toQuery = try LinearLayer(
      scope["to_q"].packed(for: reach == .input ? .both : .forward), width, width, bias: false)
    toKey = try LinearLayer(scope["to_k"], contextWidth, width, bias: false)
    toValue = try LinearLayer(scope["to_v"], contextWidth, width, bias: false)
    toOutput = try LinearLayer(scope["to_out.0"], width, width)
  }

  func forward(_ x: Tensor<B.Storage>, context: Tensor<B.Storage>, adding residual: Tensor<B.Storage>)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    let q = try toQuery.forward(x)
    let k = try toKey.forward(context)
    let v = try toValue.forward(context)
    let attention = try backend.forward(op, q: q, k: k, v: v)
    return (
      try toOutput.forward(attention.output, adding: residual), Saved(q: q, k: k, v: v, attention: attention)
    )
  }

  /// Adds the context's gradient to `dContext`.
  ///
  /// - Returns: `dx`, nil for the first cross-attention; the residual's gradient is `dy` itself.
  func backward(_ dy: Tensor<B.Storage>, _ saved: Saved, dContext: inout Tensor<B.Storage>?)
    throws(OperationError) -> Tensor<B.Storage>?
  {
    let gradients = try backend.backwardInput(
      op, toOutput.backward(dy), q: saved.q, k: saved.k, v: saved.v, saved: saved.attention,
      gradients: reach == .input ? .all : .keyValue)
    let (dk, dv) = try gradients.keyValue()
    dContext = try toKey.backward(dk, adding: dContext)
    dContext = try toValue.backward(dv, adding: dContext)
    return reach == .input ? try toQuery.backward(gradients.queryGradient()) : nil
  }
}
