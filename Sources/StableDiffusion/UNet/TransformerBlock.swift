import Operators
import Tensors

/// Attention to the picture itself, attention to the context, and a perceptron, over `[batch, pixels, width]`:
///
///     h1 = x  + selfAttention(norm1(x))
///     h2 = h1 + crossAttention(norm2(h1), context)
///     y  = h2 + feedForward(norm3(h2))
struct TransformerBlock<B: Backend> {
  private let below: GradientRoutes
  private let cross: GradientRoutes
  private let above: GradientRoutes
  private let norm1: LayerNormLayer<B>
  private let selfAttention: AttentionLayer<B>
  private let norm2: LayerNormLayer<B>
  private let crossAttention: AttentionLayer<B>
  private let norm3: LayerNormLayer<B>
  private let feedForward: FeedForward<B>

  /// Each nil where no gradient passes.
  struct Saved: Sendable {
    let below: Below?
    let cross: AttentionLayer<B>.Saved?
    let above: Above?

    struct Below: Sendable {
      let norm1: LayerNormLayer<B>.Saved
      let selfAttention: AttentionLayer<B>.Saved
      let norm2: LayerNormLayer<B>.Saved
    }

    struct Above: Sendable {
      let norm3: LayerNormLayer<B>.Saved
      /// nil where it is made again.
      let feedForward: FeedForward<B>.Saved?
    }
  }

  init(_ scope: WeightScope<B>, width: Int, heads: Int, contextWidth: Int, plan: inout GradientPlan) throws {
    let epsilon: Float = 1e-5
    below = plan.next()
    cross = plan.next(reading: [.context])
    above = plan.next()
    let (lower, upper) = (scope.packed(for: below.directions), scope.packed(for: above.directions))
    norm1 = try LayerNormLayer(lower["norm1"], width, epsilon: epsilon)
    selfAttention = try AttentionLayer(
      query: lower["attn1.to_q"], key: lower["attn1.to_k"], value: lower["attn1.to_v"], output: lower["attn1.to_out.0"],
      width: width, heads: heads, bias: false)
    norm2 = try LayerNormLayer(lower["norm2"], width, epsilon: epsilon)
    crossAttention = try AttentionLayer(
      query: lower["attn2.to_q"], key: upper["attn2.to_k"], value: upper["attn2.to_v"], output: upper["attn2.to_out.0"],
      width: width, heads: heads, contextWidth: contextWidth, bias: false)
    norm3 = try LayerNormLayer(upper["norm3"], width, epsilon: epsilon)
    feedForward = try FeedForward(upper["ff"], width)
  }

  func forward(_ x: Tensor<B.Storage>, context: Tensor<B.Storage>, keeping: StageKeeping)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    let keeps = keeping.stage != .nothing
    let (normal1, norm1Saved) = try norm1.forward(x)
    let (h1, selfAttentionSaved) = try selfAttention.forward(
      normal1, context: normal1, residual: x, keeping: keeping.attention)
    let (normal2, norm2Saved) = try norm2.forward(h1)
    let belowSaved = below.kept(
      Saved.Below(norm1: norm1Saved, selfAttention: selfAttentionSaved, norm2: norm2Saved), if: keeps)
    let (h2, crossAttentionSaved) = try crossAttention.forward(normal2, context: context, residual: h1)
    let crossSaved = cross.kept(crossAttentionSaved, if: keeps)
    let (normal3, norm3Saved) = try norm3.forward(h2)
    let (y, feedForwardSaved) = try feedForward.forward(normal3, residual: h2)
    let aboveSaved = above.kept(
      Saved.Above(norm3: norm3Saved, feedForward: keeping.perceptron == .all ? feedForwardSaved : nil), if: keeps)
    return (y, Saved(below: belowSaved, cross: crossSaved, above: aboveSaved))
  }

  func backward(_ saved: Saved, _ gradients: inout Gradients<B.Storage>) throws(OperationError) {
    guard let cross = saved.cross, let above = saved.above else { return }
    let dy = gradients.features
    let dh2 = try norm3.backward(dFeedForward(dy, above), above.norm3, residual: dy)
    gradients.features = dh2
    try crossAttention.backward(cross, &gradients, routes: self.cross)
    guard let below = saved.below else { return }
    let dh1 = try norm2.backward(gradients.features, below.norm2, residual: dh2)
    gradients.features = try norm1.backward(dSelfAttention(dh1, below), below.norm1, residual: dh1)
  }

  private func dFeedForward(_ dy: Tensor<B.Storage>, _ saved: Saved.Above) throws(OperationError) -> Tensor<B.Storage> {
    if let kept = saved.feedForward { return try feedForward.backward(dy, kept) }
    return try feedForward.backward(dy, feedForward.saved(norm3.forward(saved.norm3.x).y))
  }

  private func dSelfAttention(_ dy: Tensor<B.Storage>, _ saved: Saved.Below) throws(OperationError) -> Tensor<B.Storage>
  {
    if saved.selfAttention.projections != nil { return try selfAttention.backward(dy, saved.selfAttention) }
    let normal1 = try norm1.forward(saved.norm1.x).y
    return try selfAttention.backward(
      dy,
      AttentionLayer<B>.Saved(
        projections: selfAttention.projections(normal1, context: normal1), attention: saved.selfAttention.attention))
  }
}
