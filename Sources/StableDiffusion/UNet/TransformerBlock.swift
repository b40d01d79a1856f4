import Operators
import Tensors

/// Attention to the picture itself, attention to the context, and a perceptron, over `[batch, pixels, width]`:
///
///     h1 = x  + selfAttention(norm1(x))
///     h2 = h1 + crossAttention(norm2(h1), context)
///     y  = h2 + feedForward(norm3(h2))
struct TransformerBlock<B: Backend> {
  private let reach: GradientReach
  private let norm1: LayerNormLayer<B>
  private let selfAttention: AttentionLayer<B>
  private let norm2: LayerNormLayer<B>
  private let crossAttention: AttentionLayer<B>
  private let norm3: LayerNormLayer<B>
  private let feedForward: FeedForward<B>

  struct Saved: Sendable {
    /// What the gradient below the cross-attention needs; nil where there is none.
    let below: Below?
    let crossAttention: AttentionLayer<B>.Saved
    let norm3: LayerNormLayer<B>.Saved
    let feedForward: FeedForward<B>.Saved

    struct Below: Sendable {
      let norm1: LayerNormLayer<B>.Saved
      let selfAttention: AttentionLayer<B>.Saved
      let norm2: LayerNormLayer<B>.Saved
    }
  }

  init(_ scope: WeightScope<B>, width: Int, heads: Int, contextWidth: Int, reach: GradientReach) throws {
    let epsilon: Float = 1e-5
    let below = scope.packed(for: reach == .input ? .both : .forward)
    let above = scope.packed(for: reach == .nothing ? .forward : .both)
    self.reach = reach
    norm1 = try LayerNormLayer(below["norm1"], width, epsilon: epsilon)
    selfAttention = try AttentionLayer(
      query: below["attn1.to_q"], key: below["attn1.to_k"], value: below["attn1.to_v"], output: below["attn1.to_out.0"],
      width: width, heads: heads, bias: false)
    norm2 = try LayerNormLayer(below["norm2"], width, epsilon: epsilon)
    crossAttention = try AttentionLayer(
      query: below["attn2.to_q"], key: above["attn2.to_k"], value: above["attn2.to_v"], output: above["attn2.to_out.0"],
      width: width, heads: heads, contextWidth: contextWidth, bias: false)
    norm3 = try LayerNormLayer(above["norm3"], width, epsilon: epsilon)
    feedForward = try FeedForward(above["ff"], width)
  }

  func forward(_ x: Tensor<B.Storage>, context: Tensor<B.Storage>)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    let (normal1, norm1Saved) = try norm1.forward(x)
    let (h1, selfAttentionSaved) = try selfAttention.forward(normal1, context: normal1, residual: x)
    let (normal2, norm2Saved) = try norm2.forward(h1)
    let (h2, crossAttentionSaved) = try crossAttention.forward(normal2, context: context, residual: h1)
    let (normal3, norm3Saved) = try norm3.forward(h2)
    let (y, feedForwardSaved) = try feedForward.forward(normal3, residual: h2)
    let below = Saved.Below(norm1: norm1Saved, selfAttention: selfAttentionSaved, norm2: norm2Saved)
    return (
      y,
      Saved(
        below: reach == .input ? below : nil, crossAttention: crossAttentionSaved, norm3: norm3Saved,
        feedForward: feedForwardSaved)
    )
  }

  /// Adds the context's gradient to `dContext`.
  ///
  /// - Returns: `dx`, nil where nothing below needs one.
  func backward(_ dy: Tensor<B.Storage>, _ saved: Saved, dContext: inout Tensor<B.Storage>?)
    throws(OperationError) -> Tensor<B.Storage>?
  {
    let dh2 = try norm3.backward(feedForward.backward(dy, saved.feedForward), saved.norm3, residual: dy)
    let dNormal2 = try crossAttention.backward(dh2, saved.crossAttention, dContext: &dContext, reach: reach)
    guard let dNormal2, let below = saved.below else { return nil }
    let dh1 = try norm2.backward(dNormal2, below.norm2, residual: dh2)
    return try norm1.backward(selfAttention.backward(dh1, below.selfAttention), below.norm1, residual: dh1)
  }
}
