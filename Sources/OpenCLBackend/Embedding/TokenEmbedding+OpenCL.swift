import Operators
import Tensors

/// The defines of `token_embedding.cl`: none beside the storage type.
struct TokenEmbeddingParameters: KernelParameters {
  static let source = "Embedding/token_embedding.cl"
  var defines: [KernelDefine] { [] }
  func check(_ limits: DeviceLimits) throws(OperationError) {
    try limits.check("token_embedding", items: 256, localBytes: 0)
  }
}

extension OpenCLBackend: EmbeddingBackend {
  public func forward(
    _ op: TokenEmbedding, _ tokens: TokenBatch, table: Tensor<OpenCLBuffer>, positions: Tensor<OpenCLBuffer>,
    rows: Tensor<OpenCLBuffer>?
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let x = try allocate([tokens.batch, tokens.length, op.width], precision)
    try run(
      "token_embedding_forward", TokenEmbeddingParameters(), storage: precision, WorkSize(items: x.shape.count), x,
      try upload(tokens.ids), table, positions, rows ?? positions, tokens.ids.count, tokens.length, op.width,
      op.vocabulary, table.type.kernelNumber, positions.type.kernelNumber)
    return x
  }

  public func backwardRows(
    _ op: TokenEmbedding, _ dy: Tensor<OpenCLBuffer>, _ tokens: TokenBatch, count: Int, scale: Float,
    addingTo sum: Tensor<OpenCLBuffer>?
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let result = try allocate([count, op.width], .float32)
    // The tokens of each row, one row after the other: the kernel sums them in this order.
    var starts: [Int32] = [0]
    var holders: [Int32] = []
    for row in 0..<count {
      for (token, id) in tokens.ids.enumerated() where Int(id) == op.vocabulary + row { holders.append(Int32(token)) }
      starts.append(Int32(holders.count))
    }
    try run(
      "token_embedding_backward_rows", TokenEmbeddingParameters(), storage: dy.type,
      WorkSize(items: result.shape.count), result, dy, try upload(starts), try upload(holders), sum ?? result, count,
      op.width, scale, sum == nil ? 0 : 1)
    return result
  }
}
