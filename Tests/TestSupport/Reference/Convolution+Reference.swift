import Operators
import Tensors

extension Reference {
  /// What the reference adds to a convolution's result.
  public enum Residual: Sendable {
    case tensor(ReferenceTensor)
    case channels(ReferenceTensor)
  }

  /// `y[n, p, q, o] = b[o] + sum over taps (s, t) and inputs i of x[n, p stride + s - pad, q stride + t - pad, i] W[o, i, s, t]`,
  /// where an `x` outside the picture is zero, plus the residual.
  public static func forward(
    _ op: Convolution, _ x: ReferenceTensor, weight: ReferenceTensor, bias: ReferenceTensor? = nil,
    residual: Residual? = nil
  ) -> ReferenceTensor {
    let (batch, height, width) = (x.shape[0], x.shape[1], x.shape[2])
    let (rows, columns) = outputSize(op, height: height, width: width)
    let taps = op.kernel * op.kernel
    var y = ReferenceTensor(zeros: [batch, rows, columns, op.outputs])
    for n in 0..<batch {
      for p in 0..<rows {
        for q in 0..<columns {
          for o in 0..<op.outputs {
            var sum = bias?.values[o] ?? 0
            for s in 0..<op.kernel {
              for t in 0..<op.kernel {
                let (h, w) = (p * op.stride + s - op.leadingPadding, q * op.stride + t - op.leadingPadding)
                guard h >= 0, h < height, w >= 0, w < width else { continue }
                let pixel = ((n * height + h) * width + w) * op.inputs
                sum += dot(
                  x.values, pixel, weight.values, o * op.inputs * taps + s * op.kernel + t, stride: taps,
                  count: op.inputs)
              }
            }
            if case .channels(let channels) = residual { sum += channels.values[n * op.outputs + o] }
            y.values[((n * rows + p) * columns + q) * op.outputs + o] = sum
          }
        }
      }
    }
    if case .tensor(let tensor) = residual { return y + tensor }
    return y
  }

  /// The adjoint: every product of the forward sum hands `dy W` back to the pixel it read.
  public static func backwardInput(
    _ op: Convolution, _ dy: ReferenceTensor, inputShape: Shape, weight: ReferenceTensor,
    residual: ReferenceTensor? = nil
  ) -> ReferenceTensor {
    let (batch, height, width) = (inputShape[0], inputShape[1], inputShape[2])
    let (rows, columns) = (dy.shape[1], dy.shape[2])
    let taps = op.kernel * op.kernel
    var dx = ReferenceTensor(zeros: inputShape)
    for n in 0..<batch {
      for p in 0..<rows {
        for q in 0..<columns {
          for o in 0..<op.outputs {
            let d = dy.values[((n * rows + p) * columns + q) * op.outputs + o]
            for s in 0..<op.kernel {
              for t in 0..<op.kernel {
                let (h, w) = (p * op.stride + s - op.leadingPadding, q * op.stride + t - op.leadingPadding)
                guard h >= 0, h < height, w >= 0, w < width else { continue }
                let pixel = ((n * height + h) * width + w) * op.inputs
                addProduct(
                  d, weight.values, o * op.inputs * taps + s * op.kernel + t, stride: taps, to: &dx.values, pixel,
                  count: op.inputs)
              }
            }
          }
        }
      }
    }
    return dx + residual
  }

  /// Positions at which the kernel lies wholly within the padded picture.
  static func outputSize(_ op: Convolution, height: Int, width: Int) -> (rows: Int, columns: Int) {
    func positions(_ length: Int) -> Int {
      let padded = length + op.leadingPadding + op.trailingPadding
      return stride(from: 0, through: padded - op.kernel, by: op.stride).reduce(0) { count, _ in count + 1 }
    }
    return (positions(height), positions(width))
  }
}
