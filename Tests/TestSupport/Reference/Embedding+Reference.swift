import Foundation
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

  /// `d[i] = scale sum of dy over the positions that hold row i, + addend[i]`.
  public static func backwardRows(
    _ op: TokenEmbedding, _ dy: ReferenceTensor, _ tokens: TokenBatch, count: Int, scale: Float,
    adding addend: ReferenceTensor? = nil
  ) -> ReferenceTensor {
    var gradient = ReferenceTensor(zeros: [count, op.width])
    for (index, id) in tokens.ids.enumerated() where Int(id) >= op.vocabulary {
      for c in 0..<op.width {
        gradient.values[(Int(id) - op.vocabulary) * op.width + c] += Double(scale) * dy.values[index * op.width + c]
      }
    }
    return gradient + addend
  }

  /// One AdamW update of rows and moments in place, in the docstring's order.
  public static func update(
    _ op: AdamW, rows: inout ReferenceTensor, gradient: ReferenceTensor, first: inout ReferenceTensor,
    second: inout ReferenceTensor, step: Int, learningRate: Float
  ) {
    let (rate, beta1, beta2) = (Double(learningRate), Double(op.beta1), Double(op.beta2))
    for i in rows.values.indices {
      let g = gradient.values[i]
      rows.values[i] -= rate * Double(op.weightDecay) * rows.values[i]
      first.values[i] = beta1 * first.values[i] + (1 - beta1) * g
      second.values[i] = beta2 * second.values[i] + (1 - beta2) * g * g
      let corrected = second.values[i].squareRoot() / (1 - pow(beta2, Double(step))).squareRoot()
      rows.values[i] -= rate / (1 - pow(beta1, Double(step))) * first.values[i] / (corrected + Double(op.epsilon))
    }
  }
}
