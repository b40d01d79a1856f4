import ModelFiles
import Operators
import Tensors

/// CLIP's text encoder (Radford et al., "Learning transferable visual models from natural language supervision", 2021):
/// token ids to the context that the UNet's cross-attention reads, and where it is asked for to the text in one vector.
///
///     x = table[ids] + positions
///     x = block(x), layer after layer, each position seeing those up to its own
///     context = norm(x), or x before the last layer
///     pooled = text_projection(norm(x of the last layer at the end of the text))
///
/// Its input may hold words beyond the vocabulary, whose rows are given with each call: those are what is trained, and
/// backward goes down to them.
public struct TextEncoder<B: Backend> {
  public let configuration: CLIPTextConfiguration
  public let reading: TextReading
  /// Names the rows: ids below `embedding.vocabulary` are the table's, those from there on the trained rows'.
  public let embedding: TokenEmbedding
  /// Whether `backward` can be asked for.
  public let isDifferentiable: Bool

  private let backend: B
  private let table: Tensor<B.Storage>
  private let positions: Tensor<B.Storage>
  /// The layers up to the hidden state that is read.
  private let blocks: [TextEncoderBlock<B>]
  /// nil where the context is not normalized.
  private let contextNorm: LayerNormLayer<B>?
  private let pooler: TextPooler<B>?

  /// What backward needs. It gives its memory back piece by piece as backward consumes it.
  public struct Saved: Sendable {
    fileprivate var blocks: [Kept<Tensor<B.Storage>, TextEncoderBlock<B>.Saved>] = []
    fileprivate var contextNorm: LayerNormLayer<B>.Saved?
    fileprivate var pooler: TextPooler<B>.Saved?
  }

  /// - Parameters:
  ///   - weights: tensors named as in transformers' `CLIPTextModel`, `text_model.` before each, and where text is pooled as in
  ///     `CLIPTextModelWithProjection`. What lies above all that is read is left unread.
  ///   - table: the token table, `[vocabulary, width]`, where the caller has read it already.
  ///   - vocabulary: the number of tokens that the tokenizer knows, where the file's table has more rows: ids from it
  ///     on name
  ///     the rows given with each call.
  ///   - differentiable: whether `backward` is going to be asked for; the weights then are packed for it, too.
  public init(
    _ backend: B, _ configuration: CLIPTextConfiguration, weights: some WeightSource, table given: HostTensor? = nil,
    vocabulary: Int? = nil,
    reading: TextReading = TextReading(), differentiable: Bool
  ) throws {
    try configuration.check()
    let root = WeightScope(backend, weights, directions: differentiable ? .both : .forward)
    let scope = root["text_model"]

    self.backend = backend
    self.configuration = configuration
    self.reading = reading
    isDifferentiable = differentiable
    let width = configuration.width
    embedding = TokenEmbedding(
      vocabulary: min(vocabulary ?? configuration.vocabularySize, configuration.vocabularySize), width: width)
    let tableName = "embeddings.token_embedding"
    let words = try given ?? scope[tableName].take("weight", [configuration.vocabularySize, width])
    let isWhole = embedding.vocabulary == configuration.vocabularySize
    table = try backend.upload(
      isWhole
        ? words
        : HostTensor([embedding.vocabulary, width], Array(words.values.prefix(embedding.vocabulary * width))),
      as: backend.precision)
    positions = try backend.upload(
      scope["embeddings.position_embedding"].take("weight", [configuration.positions, width]), as: backend.precision)

    func block(_ layer: Int) throws -> TextEncoderBlock<B> {
      try TextEncoderBlock(scope["encoder.layers.\(layer)"], configuration)
    }
    func norm() throws -> LayerNormLayer<B> {
      try LayerNormLayer(scope["final_layer_norm"], width, epsilon: configuration.epsilon)
    }
    let last = configuration.layers - 1
    let readsLast = reading.hiddenState == .last
    blocks = try (0..<(readsLast ? last + 1 : last)).map { try block($0) }
    let contextNorm = readsLast ? try norm() : nil
    self.contextNorm = contextNorm
    pooler = try reading.pooling.map {
      try TextPooler(
        root, configuration, pooling: $0, top: readsLast ? nil : block(last), norm: contextNorm ?? norm())
    }
    let isTopUnread = !readsLast && reading.pooling == nil
    let unread = isTopUnread ? ["encoder.layers.\(last)", "final_layer_norm"] : []
    try weights.finish(passingOver: (unread + (given == nil ? [] : [tableName])).map { "text_model.\($0)" })
  }

  /// - Parameters:
  ///   - rows: the rows of the ids from the vocabulary's end on, `[n, width]` in float32; nil where no id names one.
  ///   - keeping: what each layer keeps for `backward`; with `nothing` there is none.
  /// - Returns: the context, `[batch, length, width]`, and where it is read pooled text, `[batch, pooledWidth]`.
  public func forward(_ tokens: TokenBatch, rows: Tensor<B.Storage>?, keeping: Keeping = .all)
    throws(OperationError) -> (conditioning: Conditioning<B.Storage>, saved: Saved)
  {
    var x = try backend.forward(embedding, tokens, table: table, positions: positions, rows: rows)
    var saved = Saved()
    for block in blocks {
      let (y, blockSaved) = try block.forward(x)
      if keeping != .nothing { saved.blocks.append(keeping == .input ? .input(x) : .all(blockSaved)) }
      x = y
    }
    var conditioning = Conditioning(context: x)
    if let pooler { (conditioning.pooled, saved.pooler) = try pooler.forward(x, tokens) }
    if let contextNorm { (conditioning.context, saved.contextNorm) = try contextNorm.forward(x) }
    return (conditioning, saved)
  }

  /// The gradient of what the token embedding gave, `[batch, length, width]`; `EmbeddingBackend.backwardRows` with
  /// `embedding` makes the rows' gradient of it.
  public func backward(_ gradient: ConditioningGradient<B.Storage>, _ saved: consuming Saved)
    throws(OperationError) -> Tensor<B.Storage>
  {
    var saved = saved
    var dx = gradient.context
    if let contextNorm, let normSaved = saved.contextNorm { dx = try contextNorm.backward(dx, normSaved) }
    if let pooler, let dPooled = gradient.pooled, let poolerSaved = saved.pooler {
      dx = try backend.add(dx, pooler.backward(dPooled, poolerSaved))
    }
    for block in blocks.reversed() {
      switch saved.blocks.removeLast() {
      case .all(let kept): dx = try block.backward(dx, kept)
      case .input(let x): dx = try block.backward(dx, block.forward(x).saved)
      }
    }
    return dx
  }
}
