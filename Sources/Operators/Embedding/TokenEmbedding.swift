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

  /// Throws unless there are as many ids as there are tokens.
  fileprivate func check(_ operation: StaticString) throws(OperationError) {
    try require(
      Shape([batch, length]).count == ids.count, operation, "\(ids.count) ids for \(batch) prompts of \(length)")
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
}

extension TokenEmbedding {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "TokenEmbedding.forward"
    public static let pass = OperationPass.forward
    public let op: TokenEmbedding
    public let tokens: TokenBatch
    public let table: TensorDescriptor
    public let positions: TensorDescriptor
    public let rows: TensorDescriptor?
    public let type: ElementType

    public func results() throws(OperationError) -> [TensorDescriptor] {
      try tokens.check(Self.name)
      try require(table, "the table", is: TensorDescriptor([op.vocabulary, op.width], table.type))
      try require(
        positions.shape.rank == 2 && positions.shape[0] >= tokens.length && positions.shape[1] == op.width,
        "\(tokens.length) tokens, positions \(positions)")
      let count = rows?.shape.dimensions.first ?? 0
      try require(rows, "rows", is: TensorDescriptor([count, op.width], .float32))
      try require(
        tokens.ids.allSatisfy { $0 >= 0 && Int($0) < op.vocabulary + count },
        "an id is not below \(op.vocabulary) + \(count)")
      return [TensorDescriptor([tokens.batch, tokens.length, op.width], type)]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "TokenEmbedding.backwardRows"
    public static let pass = OperationPass.backward
    public let op: TokenEmbedding
    public let dy: TensorDescriptor
    public let tokens: TokenBatch
    public let count: Int
    public let sum: TensorDescriptor?

    public func results() throws(OperationError) -> [TensorDescriptor] {
      try tokens.check(Self.name)
      try require(dy, "dy", is: TensorDescriptor([tokens.batch, tokens.length, op.width], dy.type))
      let gradient = TensorDescriptor([count, op.width], .float32)
      try require(sum, "the sum", is: gradient)
      return [gradient]
    }
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
