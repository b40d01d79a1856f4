import Operators
import Tensors

/// Attention between four projections: `y = W_o attention(W_q x, W_k context, W_v context) + residual`.
///
/// `x` is `[batch, tokens, width]`; `context` is `[batch, contextTokens, contextWidth]`, in self-attention `x` itself.
struct AttentionLayer<B: Backend> {
  private let backend: B
  private let op: Attention
  private let toQuery: LinearLayer<B>
  private let toKey: LinearLayer<B>
  private let toValue: LinearLayer<B>
  private let toOutput: LinearLayer<B>

  struct Saved: Sendable {
    /// nil where they are made again.
    let projections: Projections?
    let attention: Attention.Saved<B.Storage>
  }

  struct Projections: Sendable {
    let q: Tensor<B.Storage>
    let k: Tensor<B.Storage>
    let v: Tensor<B.Storage>
  }

  /// - Parameters:
  ///   - query, key, value, output: where the four projections' weights are.
  ///   - contextWidth: the context's, where that is not `x`.
  ///   - bias: whether the first three have one; the last has.
  init(
    query: WeightScope<B>, key: WeightScope<B>, value: WeightScope<B>, output: WeightScope<B>, width: Int, heads: Int,
    contextWidth: Int? = nil, isCausal: Bool = false, bias: Bool
  ) throws {
    backend = query.backend
    op = Attention(heads: heads, headDimension: width / heads, isCausal: isCausal)
    toQuery = try LinearLayer(query, width, width, bias: bias)
    toKey = try LinearLayer(key, contextWidth ?? width, width, bias: bias)
    toValue = try LinearLayer(value, contextWidth ?? width, width, bias: bias)
    toOutput = try LinearLayer(output, width, width)
  }

  /// - Parameter keeping: `input` leaves out query, key and value; who asks for it makes them again with `projections`.
  func forward(
    _ x: Tensor<B.Storage>, context: Tensor<B.Storage>, residual: Tensor<B.Storage>, keeping: Keeping = .all
  ) throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved) {
    let projections = try projections(x, context: context)
    let attention = try backend.forward(op, q: projections.q, k: projections.k, v: projections.v)
    return (
      try toOutput.forward(attention.output, residual: residual),
      Saved(projections: keeping == .all ? projections : nil, attention: attention)
    )
  }

  /// Query, key and value.
  func projections(_ x: Tensor<B.Storage>, context: Tensor<B.Storage>) throws(OperationError) -> Projections {
    Projections(q: try toQuery.forward(x), k: try toKey.forward(context), v: try toValue.forward(context))
  }

  /// `dx` of self-attention, through all three projections; the residual's gradient is `dy` itself.
  func backward(_ dy: Tensor<B.Storage>, _ saved: Saved) throws(OperationError) -> Tensor<B.Storage> {
    let gradients = try gradients(dy, saved, .all)
    let (dk, dv) = try gradients.keyValue()
    var dx = try toQuery.backward(gradients.queryGradient())
    dx = try toKey.backward(dk, residual: dx)
    return try toValue.backward(dv, residual: dx)
  }

  /// From `dy` to the gradients of `x` and of the context, those of them that `routes` has; the residual's gradient is `dy`
  /// itself.
  func backward(_ saved: Saved, _ gradients: inout Gradients<B.Storage>, routes: GradientRoutes)
    throws(OperationError)
  {
    var wanted: Attention.Gradients = routes.toInput ? .query : []
    if routes.toNames.contains(.context) { wanted.insert(.keyValue) }
    let found = try self.gradients(gradients.features, saved, wanted)
    if wanted.contains(.keyValue) {
      let (dk, dv) = try found.keyValue()
      try gradients.add(to: .context) { sum throws(OperationError) in try toKey.backward(dk, residual: sum) }
      try gradients.add(to: .context) { sum throws(OperationError) in try toValue.backward(dv, residual: sum) }
    }
    if routes.toInput { gradients.features = try toQuery.backward(found.queryGradient()) }
  }

  private func gradients(_ dy: Tensor<B.Storage>, _ saved: Saved, _ wanted: Attention.Gradients)
    throws(OperationError) -> Attention.InputGradients<B.Storage>
  {
    guard let projections = saved.projections else {
      throw OperationError(.unsupported, "Attention.backwardInput", "query, key and value were not kept")
    }
    return try backend.backwardInput(
      op, toOutput.backward(dy), q: projections.q, k: projections.k, v: projections.v, saved: saved.attention,
      gradients: wanted)
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
