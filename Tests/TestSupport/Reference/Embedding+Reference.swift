import Operators
import Tensors

extension Reference {
  /// `x[b, t] = row(ids[b, t]) + positions[t]`.
  public static func forward(
    _ op: TokenEmbedding, _ tokens: TokenBatch, table: ReferenceTensor, positions: ReferenceTensor,
    rows: ReferenceTensor?
  ) -> ReferenceTensor {
    var x = ReferenceTensor(zeros: [tokens.batch, tokens.length, op.width])
    for (index, id) in tokens.ids.enumerated() {
      let position = index % tokens.length
      for c in 0..<op.width {
        let id = Int(id)
        let row =
          id < op.vocabulary
          ? table.values[id * op.width + c] : rows?.values[(id - op.vocabulary) * op.width + c] ?? .nan
        x.values[index * op.width + c] = row + positions.values[position * op.width + c]
      }
    }
    return x
  }

  /// `d[i] = scale sum of dy over the positions that hold row i, + sum[i]`.
  public static func backwardRows(
    _ op: TokenEmbedding, _ dy: ReferenceTensor, _ tokens: TokenBatch, count: Int, scale: Float,
    addingTo sum: ReferenceTensor? = nil
  ) -> ReferenceTensor {
    var gradient = ReferenceTensor(zeros: [count, op.width])
    for (index, id) in tokens.ids.enumerated() where Int(id) >= op.vocabulary {
      for c in 0..<op.width {
        gradient.values[(Int(id) - op.vocabulary) * op.width + c] += Double(scale) * dy.values[index * op.width + c]
      }
    }
    return gradient + sum
  }
}
