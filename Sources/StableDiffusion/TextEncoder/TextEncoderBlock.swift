import Operators
import Tensors

/// One layer of CLIP's text encoder over `[batch, tokens, width]`:
///
///     h = x + attention(norm1(x))
///     y = h + fc2(activation(fc1(norm2(h))))
struct TextEncoderBlock<B: Backend> {
  private let backend: B
  private let norm1: LayerNormLayer<B>
  private let attention: AttentionLayer<B>
  private let norm2: LayerNormLayer<B>
  private let widen: LinearLayer<B>
  private let activation: Activation
  private let narrow: LinearLayer<B>

  struct Saved: Sendable {
    let norm1: LayerNormLayer<B>.Saved
    let attention: AttentionLayer<B>.Saved
    let norm2: LayerNormLayer<B>.Saved
    /// The activation's input, `[batch, tokens, hiddenWidth]`.
    let widened: Tensor<B.Storage>
  }

  init(_ scope: WeightScope<B>, _ configuration: CLIPTextConfiguration) throws {
    let width = configuration.width
    backend = scope.backend
    norm1 = try LayerNormLayer(scope["layer_norm1"], width, epsilon: configuration.epsilon)
    attention = try AttentionLayer(
      query: scope["self_attn.q_proj"], key: scope["self_attn.k_proj"], value: scope["self_attn.v_proj"],
      output: scope["self_attn.out_proj"], width: width, heads: configuration.heads, isCausal: true, bias: true)
    norm2 = try LayerNormLayer(scope["layer_norm2"], width, epsilon: configuration.epsilon)
    widen = try LinearLayer(scope["mlp.fc1"], width, configuration.hiddenWidth)
    activation = configuration.activation
    narrow = try LinearLayer(scope["mlp.fc2"], configuration.hiddenWidth, width)
  }

  func forward(_ x: Tensor<B.Storage>) throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved) {
    let (normal1, norm1Saved) = try norm1.forward(x)
    let (h, attentionSaved) = try attention.forward(normal1, context: normal1, residual: x)
    let (normal2, norm2Saved) = try norm2.forward(h)
    let widened = try widen.forward(normal2)
    let y = try narrow.forward(backend.forward(activation, widened), residual: h)
    return (y, Saved(norm1: norm1Saved, attention: attentionSaved, norm2: norm2Saved, widened: widened))
  }

  func backward(_ dy: Tensor<B.Storage>, _ saved: Saved) throws(OperationError) -> Tensor<B.Storage> {
    var dh = try narrow.backward(dy)
    dh = try backend.backwardInput(activation, dh, x: saved.widened)
    dh = try norm2.backward(widen.backward(dh), saved.norm2, residual: dy)
    return try norm1.backward(attention.backward(dh, saved.attention), saved.norm1, residual: dh)
  }
}
