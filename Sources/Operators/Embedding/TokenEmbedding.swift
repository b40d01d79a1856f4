import Tensors

/// Token ids of a batch of prompts, row by row.
public struct TokenBatch: Sendable, Hashable {
  public let ids: [Int32]
  public let batch: Int
  /// Tokens a prompt; 77 for CLIP.
  public let length: Int

  public init(ids: [Int32], batch: Int, length: Int) {
    self.ids = ids
    self.batch = batch
    self.length = length
  }
}

/// The text encoder's first step: `x[b, t] = row(ids[b, t]) + positions[t]`.
///
/// Ids below `vocabulary` name rows of the frozen table `[vocabulary, width]`; the ids `vocabulary + i` name the rows in training
/// (or loaded from embedding files), `[n, width]` in float32. Backward sums the gradient of every position that holds such
/// a row into it, in the positions' order, so that two runs give the same bits.
public struct TokenEmbedding: Sendable, Hashable {
  public let vocabulary: Int
  public let width: Int

  public init(vocabulary: Int, width: Int) {
    self.vocabulary = vocabulary
    self.width = width
  }

  /// Throws unless every id names a row, of `rows` beside the table's.
  public func check(_ tokens: TokenBatch, rows: Int, positions: Shape) throws(OperationError) {
    try require(
      Shape([tokens.batch, tokens.length]).count == tokens.ids.count, "TokenEmbedding",
      "\(tokens.ids.count) ids for \(tokens.batch) prompts of \(tokens.length)")
    try require(
      positions.rank == 2 && positions[0] >= tokens.length && positions[1] == width, "TokenEmbedding",
      "\(tokens.length) tokens, positions \(positions)")
    try require(
      tokens.ids.allSatisfy { $0 >= 0 && Int($0) < vocabulary + rows }, "TokenEmbedding",
      "an id is not below \(vocabulary) + \(rows)")
  }
}

public protocol EmbeddingBackend: StorageBackend {
  /// `[batch, length, width]` in the backend's precision. `table` and `positions` are of any type, `rows` is float32.
  func forward(
    _ op: TokenEmbedding, _ tokens: TokenBatch, table: Tensor<Storage>, positions: Tensor<Storage>,
    rows: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage>

  /// The gradient of the rows, `[count, width]` in float32: `scale` times the sum over the positions that hold each, plus
  /// `sum`, the gradient so far, of the same shape. `dy` is `[batch, length, width]`.
  func backwardRows(
    _ op: TokenEmbedding, _ dy: Tensor<Storage>, _ tokens: TokenBatch, count: Int, scale: Float,
    addingTo sum: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage>

  func forward(_ op: TokenSelection, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage>
  /// `dx`, `[batch, length, width]`, of `dy`, `[batch, width]`.
  func backwardInput(_ op: TokenSelection, _ dy: Tensor<Storage>) throws(OperationError) -> Tensor<Storage>
}
