import Operators
import Tensors

/// Attention of a feature map's pixels to each other, one head as wide as the channels: `y = attention(norm(x)) + x`,
/// `[batch, height, width, channels]`. Forward alone: pictures are not differentiated.
struct AutoencoderAttention<B: Backend> {
  private let norm: GroupNormLayer<B>
  private let attention: AttentionLayer<B>

  init(_ scope: WeightScope<B>, _ channels: Int, groups: Int) throws {
    norm = try GroupNormLayer(scope["group_norm"], channels, groups: groups, epsilon: 1e-6)
    attention = try AttentionLayer(
      query: scope["to_q"], key: scope["to_k"], value: scope["to_v"], output: scope["to_out.0"], width: channels,
      heads: 1, bias: true)
  }

  func forward(_ x: Tensor<B.Storage>) throws(OperationError) -> Tensor<B.Storage> {
    let rows: Shape = [x.shape[0], x.shape[1] * x.shape[2], x.shape[3]]
    let normal = try norm.forward(x).y.reshaped(rows)
    return try attention.forward(normal, context: normal, residual: x.reshaped(rows)).y.reshaped(x.shape)
  }
}
