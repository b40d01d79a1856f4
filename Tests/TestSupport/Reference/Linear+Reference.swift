import Operators
import Tensors

extension Reference {
  /// `y[r, o] = activation(sum_i x[r, i] W[o, i] + b[o]) + residual[r, o]`.
  public static func forward(
    _ op: Linear, _ x: ReferenceTensor, weight: ReferenceTensor, bias: ReferenceTensor? = nil,
    residual: ReferenceTensor? = nil
  ) -> ReferenceTensor {
    var y = ReferenceTensor(zeros: x.shape.withChannels(op.outputs))
    for r in 0..<x.shape.rows {
      for o in 0..<op.outputs {
        let product = dot(x.values, r * op.inputs, weight.values, o * op.inputs, count: op.inputs)
        let sum = product + (bias?.values[o] ?? 0)
        y.values[r * op.outputs + o] = op.activation.map { value($0, sum) } ?? sum
      }
    }
    return y + residual
  }

  /// `dx[r, i] = sum_o dy[r, o] W[o, i] + residual[r, i]`.
  public static func backwardInput(
    _ op: Linear, _ dy: ReferenceTensor, weight: ReferenceTensor, residual: ReferenceTensor? = nil
  ) -> ReferenceTensor {
    var dx = ReferenceTensor(zeros: dy.shape.withChannels(op.inputs))
    for r in 0..<dy.shape.rows {
      for o in 0..<op.outputs {
        let d = dy.values[r * op.outputs + o]
        addProduct(d, weight.values, o * op.inputs, to: &dx.values, r * op.inputs, count: op.inputs)
      }
    }
    return dx + residual
  }
}
