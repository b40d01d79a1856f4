import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  public func forward(
    _ op: TokenEmbedding, _ tokens: TokenBatch, table: Tensor<CPUStorage>, positions: Tensor<CPUStorage>,
    rows: Tensor<CPUStorage>?
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let y = try empty([tokens.batch, tokens.length, op.width], precision, "TokenEmbedding.forward")
    parallel(tokens.ids.count, by: 16) { start, length in
      for index in start..<start + length {
        let id = Int(tokens.ids[index])
        let isTable = id < op.vocabulary
        guard let source = isTable ? table : rows else { continue }
        vector_embed(
          y.at(index * op.width), y.type.vector, source.at((isTable ? id : id - op.vocabulary) * op.width),
          source.type.vector, positions.at(index % tokens.length * op.width), positions.type.vector, op.width)
      }
    }
    return y
  }

  public func backwardRows(
    _ op: TokenEmbedding, _ dy: Tensor<CPUStorage>, _ tokens: TokenBatch, count: Int, scale: Float,
    addingTo sum: Tensor<CPUStorage>?
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let gradient = try empty([count, op.width], .float32, "TokenEmbedding.backwardRows")
    gradient.floats.update(repeating: 0, count: count * op.width)
    for (index, id) in tokens.ids.enumerated() {
      let row = Int(id) - op.vocabulary
      guard row >= 0 && row < count else { continue }
      vector_accumulate(gradient.floats + row * op.width, dy.at(index * op.width), dy.type.vector, scale, op.width)
    }
    if let sum { self.sum(gradient, gradient, sum) }
    return gradient
  }
}
