import Operators
import Tensors

/// Attention of a sequence to itself: `y = W_o attention(W_q x, W_k x, W_v x) + residual`; `x` is `[batch, tokens,
/// width]`.
struct SelfAttentionLayer<B: Backend> {
  private let backend: B
  private let op: Attention
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

  /// - Parameters:
  ///   - query, key, value, output: where the four projections' weights are.
  ///   - bias: whether the first three have one; the last has.
  init(
    query: WeightScope<B>, key: WeightScope<B>, value: WeightScope<B>, output: WeightScope<B>, width: Int, heads: Int,
    isCausal: Bool = false, bias: Bool
  ) throws {
    backend = query.backend
    op = Attention(heads: heads, headDimension: width / heads, isCausal: isCausal)
    toQuery = try LinearLayer(query, width, width, bias: bias)
    toKey = try LinearLayer(key, width, width, bias: bias)
    toValue = try LinearLayer(value, width, width, bias: bias)
    toOutput = try LinearLayer(output, width, width)
  }

  func forward(_ x: Tensor<B.Storage>, adding residual: Tensor<B.Storage>)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    let q = try toQuery.forward(x)
    let k = try toKey.forward(x)
    let v = try toValue.forward(x)
    let attention = try backend.forward(op, q: q, k: k, v: v)
    return (
      try toOutput.forward(attention.output, adding: residual), Saved(q: q, k: k, v: v, attention: attention)
    )
  }

  /// `dx`; the residual's gradient is `dy` itself.
  func backward(_ dy: Tensor<B.Storage>, _ saved: Saved) throws(OperationError) -> Tensor<B.Storage> {
    let gradients = try backend.backwardInput(
      op, toOutput.backward(dy), q: saved.q, k: saved.k, v: saved.v, saved: saved.attention, gradients: .all)
    let (dk, dv) = try gradients.keyValue()
    var dx = try toQuery.backward(gradients.queryGradient())
    dx = try toKey.backward(dk, adding: dx)
    return try toValue.backward(dv, adding: dx)
  }
}

extension Attention.InputGradients {
  /// The query's gradient, which was asked for.
  func queryGradient() throws(OperationError) -> Tensor<Storage> {
    guard let query else {
      throw OperationError(.unsupported, "Attention.backwardInput", "no gradient of the query came")
    }
    return query
  }

  /// The gradients of key and value, which were asked for.
  func keyValue() throws(OperationError) -> (key: Tensor<Storage>, value: Tensor<Storage>) {
    guard let key, let value else {
      throw OperationError(.unsupported, "Attention.backwardInput", "no gradients of key and value came")
    }
    return (key, value)
  }
}
