import ModelFiles
import Operators
import Tensors

/// A text in one vector, `[batch, pooledWidth]`: `pooled = W norm(top(x)[position])`, where `top` is the layer above the
/// hidden state that is read, if there is one.
struct TextPooler<B: Backend> {
  private let backend: B
  private let pooling: TextPooling
  private let endOfText: Int
  private let top: TextEncoderBlock<B>?
  private let norm: LayerNormLayer<B>
  private let projection: LinearLayer<B>

  struct Saved: Sendable {
    fileprivate let top: TextEncoderBlock<B>.Saved?
    fileprivate let selection: TokenSelection
    fileprivate let norm: LayerNormLayer<B>.Saved
  }

  /// - Parameter scope: the model's root.
  init(
    _ scope: WeightScope<B>, _ configuration: CLIPTextConfiguration, pooling: TextPooling, top: TextEncoderBlock<B>?,
    norm: LayerNormLayer<B>
  ) throws {
    backend = scope.backend
    self.pooling = pooling
    endOfText = configuration.endOfText
    self.top = top
    self.norm = norm
    projection = try LinearLayer(
      scope["text_projection"], configuration.width, configuration.pooledWidth, bias: false)
  }

  func forward(_ x: Tensor<B.Storage>, _ tokens: TokenBatch)
    throws(OperationError) -> (pooled: Tensor<B.Storage>, saved: Saved)
  {
    let selection = TokenSelection(
      positions: try pooling.positions(tokens, endOfText: endOfText), length: tokens.length)
    var h = x
    var topSaved: TextEncoderBlock<B>.Saved?
    if let top { (h, topSaved) = try top.forward(x) }
    let (normal, normSaved) = try norm.forward(backend.forward(selection, h))
    return (try projection.forward(normal), Saved(top: topSaved, selection: selection, norm: normSaved))
  }

  /// The gradient of `x`.
  func backward(_ dPooled: Tensor<B.Storage>, _ saved: Saved) throws(OperationError) -> Tensor<B.Storage> {
    let dSelected = try norm.backward(projection.backward(dPooled), saved.norm)
    let dh = try backend.backwardInput(saved.selection, dSelected)
    if let top, let topSaved = saved.top { return try top.backward(dh, topSaved) }
    return dh
  }
}
