import ModelFiles
import Operators
import Tensors

/// CLIP's text encoder (Radford et al., "Learning transferable visual models from natural language supervision", 2021):
/// token ids to the context that the UNet's cross-attention reads.
///
///     x = table[ids] + positions
///     x = block(x), layer after layer, each position seeing those up to its own
///     context = norm(x)
///
/// Its input may hold words beyond the vocabulary, whose rows are given with each call: those are what is trained, and
/// backward goes down to them.
public struct TextEncoder<B: Backend> {
  public let configuration: CLIPTextConfiguration
  /// Names the rows: ids below `embedding.vocabulary` are the table's, those from there on the trained rows'.
  public let embedding: TokenEmbedding

  /// Whether `backward` can be asked for.
  public let isDifferentiable: Bool

  private let backend: B
  private let table: Tensor<B.Storage>
  private let positions: Tensor<B.Storage>
  private let blocks: [TextEncoderBlock<B>]
  private let finalNorm: LayerNormLayer<B>

  /// What backward needs. It gives its memory back piece by piece as backward consumes it.
  public struct Saved: Sendable {
    fileprivate var blocks: [TextEncoderBlock<B>.Saved] = []
    fileprivate var finalNorm: LayerNormLayer<B>.Saved
  }

  /// - Parameters:
  ///   - weights: tensors named as in transformers' `CLIPTextModel`, `text_model.` before each.
  ///   - vocabulary: the number of tokens that the tokenizer knows, where the file's table has more rows: ids from it
  ///     on name
  ///     the rows given with each call.
  ///   - differentiable: whether `backward` is going to be asked for; the weights then are packed for it, too.
  public init(
    _ backend: B, _ configuration: CLIPTextConfiguration, weights: some WeightSource, vocabulary: Int? = nil,
    differentiable: Bool
  ) throws {
    try configuration.check()
    let scope = WeightScope(backend, weights, path: "text_model", directions: differentiable ? .both : .forward)

    self.backend = backend
    self.configuration = configuration
    isDifferentiable = differentiable
    let width = configuration.width
    embedding = TokenEmbedding(
      vocabulary: min(vocabulary ?? configuration.vocabularySize, configuration.vocabularySize), width: width)
    let words = try scope["embeddings.token_embedding"].take("weight", [configuration.vocabularySize, width])
    table = try backend.upload(
      HostTensor([embedding.vocabulary, width], Array(words.values.prefix(embedding.vocabulary * width))),
      as: backend.precision)
    positions = try backend.upload(
      scope["embeddings.position_embedding"].take("weight", [configuration.positions, width]), as: backend.precision)
    blocks = try (0..<configuration.layers).map {
      try TextEncoderBlock(scope["encoder.layers.\($0)"], configuration)
    }
    finalNorm = try LayerNormLayer(scope["final_layer_norm"], width, epsilon: configuration.epsilon)
    try weights.finish()
  }

  /// - Parameter rows: the rows of the ids from the vocabulary's end on, `[n, width]` in float32; nil where no id names
  ///   one.
  /// - Returns: `context`, `[batch, length, width]`.
  public func forward(_ tokens: TokenBatch, rows: Tensor<B.Storage>?)
    throws(OperationError) -> (context: Tensor<B.Storage>, saved: Saved)
  {
    var x = try backend.forward(embedding, tokens, table: table, positions: positions, rows: rows)
    var savedBlocks: [TextEncoderBlock<B>.Saved] = []
    for block in blocks {
      let saved: TextEncoderBlock<B>.Saved
      (x, saved) = try block.forward(x)
      savedBlocks.append(saved)
    }
    let (context, savedNorm) = try finalNorm.forward(x)
    return (context, Saved(blocks: savedBlocks, finalNorm: savedNorm))
  }

  /// The gradient of what the token embedding gave, `[batch, length, width]`; `EmbeddingBackend.backwardRows` with
  /// `embedding` makes the rows' gradient of it.
  public func backward(_ dContext: Tensor<B.Storage>, _ saved: consuming Saved)
    throws(OperationError) -> Tensor<B.Storage>
  {
    var saved = saved
    var dx = try finalNorm.backward(dContext, saved.finalNorm)
    for block in blocks.reversed() {
      dx = try block.backward(dx, saved.blocks.removeLast())
    }
    return dx
  }

  /// The context alone, with nothing kept for a backward pass.
  public func predict(_ tokens: TokenBatch, rows: Tensor<B.Storage>?) throws(OperationError) -> Tensor<B.Storage> {
    var x = try backend.forward(embedding, tokens, table: table, positions: positions, rows: rows)
    for block in blocks { x = try block.forward(x).y }
    return try finalNorm.forward(x).y
  }
}
