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

  /// `y[i, c] = x[i, positions[i], c]`.
  public static func forward(_ op: TokenSelection, _ x: ReferenceTensor) -> ReferenceTensor {
    let width = x.shape.channels
    var y = ReferenceTensor(zeros: [x.shape[0], width])
    for (i, position) in op.positions.enumerated() {
      for c in 0..<width { y.values[i * width + c] = x.values[(i * op.length + position) * width + c] }
    }
    return y
  }

  public static func backwardInput(_ op: TokenSelection, _ dy: ReferenceTensor) -> ReferenceTensor {
    let width = dy.shape.channels
    var dx = ReferenceTensor(zeros: [dy.shape[0], op.length, width])
    for (i, position) in op.positions.enumerated() {
      for c in 0..<width { dx.values[(i * op.length + position) * width + c] = dy.values[i * width + c] }
    }
    return dx
  }
}
