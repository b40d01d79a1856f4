import Foundation
import Operators
import Tensors

extension Reference {
  /// `output[b, i, head] = sum_j P[i, j] v[b, j, head]` with `P = softmax_j(scale q[i] · k[j])`, and the logarithm of each
  /// softmax's denominator.
  public static func forward(_ op: Attention, q: ReferenceTensor, k: ReferenceTensor, v: ReferenceTensor)
    -> (output: ReferenceTensor, logSumExp: ReferenceTensor)
  {
    let (batch, queries, keys) = (q.shape[0], q.shape[1], k.shape[1])
    let (width, d) = (op.heads * op.headDimension, op.headDimension)
    var output = ReferenceTensor(zeros: q.shape)
    var logSumExp = ReferenceTensor(zeros: [batch, op.heads, queries])
    for b in 0..<batch {
      for head in 0..<op.heads {
        for i in 0..<queries {
          let scores = scores(op, q: q, k: k, b, head, i)
          let denominator = scores.reduce(0) { $0 + exp($1) }
          logSumExp.values[(b * op.heads + head) * queries + i] = log(denominator)
          for j in 0..<scores.count {
            let p = exp(scores[j]) / denominator
            addProduct(
              p, v.values, (b * keys + j) * width + head * d, to: &output.values, (b * queries + i) * width + head * d,
              count: d)
          }
        }
      }
    }
    return (output, logSumExp)
  }

  /// The chain rule row by row: `dP[j] = do · v[j]`, `dS[j] = P[j] (dP[j] - sum_l P[l] dP[l])`, `dq += scale dS[j] k[j]`,
  /// `dk[j] += scale dS[j] q`, `dv[j] += P[j] do`.
  public static func backwardInput(
    _ op: Attention, _ dy: ReferenceTensor, q: ReferenceTensor, k: ReferenceTensor, v: ReferenceTensor
  ) -> (query: ReferenceTensor, key: ReferenceTensor, value: ReferenceTensor) {
    let (batch, queries, keys) = (q.shape[0], q.shape[1], k.shape[1])
    let (width, d) = (op.heads * op.headDimension, op.headDimension)
    let scale = 1 / Double(d).squareRoot()
    var dq = ReferenceTensor(zeros: q.shape)
    var dk = ReferenceTensor(zeros: k.shape)
    var dv = ReferenceTensor(zeros: v.shape)
    for b in 0..<batch {
      for head in 0..<op.heads {
        for i in 0..<queries {
          let row = (b * queries + i) * width + head * d
          let exponentials = scores(op, q: q, k: k, b, head, i).map { exp($0) }
          let denominator = exponentials.reduce(0, +)
          let p = exponentials.map { $0 / denominator }
          let dp = p.indices.map { j in
            dot(dy.values, row, v.values, (b * keys + j) * width + head * d, count: d)
          }
          let mean = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
          for j in p.indices {
            let column = (b * keys + j) * width + head * d
            let ds = p[j] * (dp[j] - mean)
            addProduct(scale * ds, k.values, column, to: &dq.values, row, count: d)
            addProduct(scale * ds, q.values, row, to: &dk.values, column, count: d)
            addProduct(p[j], dy.values, row, to: &dv.values, column, count: d)
          }
        }
      }
    }
    return (dq, dk, dv)
  }

  /// `scale q[i] · k[j]` for every key that query `i` sees. Doubles hold the exponential of any score these tests make.
  private static func scores(
    _ op: Attention, q: ReferenceTensor, k: ReferenceTensor, _ b: Int, _ head: Int, _ i: Int
  ) -> [Double] {
    let (queries, keys) = (q.shape[1], k.shape[1])
    let (width, d) = (op.heads * op.headDimension, op.headDimension)
    return (0..<(op.isCausal ? i + 1 : keys)).map { j in
      let sum = dot(
        q.values, (b * queries + i) * width + head * d, k.values, (b * keys + j) * width + head * d, count: d)
      return sum / Double(d).squareRoot()
    }
  }
}
