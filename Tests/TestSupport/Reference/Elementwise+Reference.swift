import Foundation
import Operators
import Tensors

extension Reference {
  /// `f(x)` of one number.
  public static func value(_ op: Activation, _ x: Double) -> Double {
    switch op {
    case .silu: return x * sigmoid(x)
    case .gelu: return x * 0.5 * (1 + erf(x / 2.0.squareRoot()))
    case .geluTanh: return 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    case .quickGELU: return x * sigmoid(1.702 * x)
    }
  }

  /// `f'(x)` of one number.
  public static func derivative(_ op: Activation, _ x: Double) -> Double {
    switch op {
    case .silu:
      return sigmoid(x) + x * sigmoid(x) * sigmoid(-x)
    case .gelu:
      return 0.5 * (1 + erf(x / 2.0.squareRoot())) + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot()
    case .geluTanh:
      let slope = (2 / Double.pi).squareRoot()
      let t = tanh(slope * (x + 0.044715 * x * x * x))
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope * (1 + 3 * 0.044715 * x * x)
    case .quickGELU:
      return sigmoid(1.702 * x) + 1.702 * x * sigmoid(1.702 * x) * sigmoid(-1.702 * x)
    }
  }

  private static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  public static func forward(_ op: Activation, _ x: ReferenceTensor) -> ReferenceTensor {
    ReferenceTensor(x.shape, x.values.map { value(op, $0) })
  }

  public static func backwardInput(_ op: Activation, _ dy: ReferenceTensor, x: ReferenceTensor) -> ReferenceTensor {
    ReferenceTensor(x.shape, zip(dy.values, x.values).map { $0 * derivative(op, $1) })
  }

  /// `y[r, c] = x[r, c] gelu(x[r, n + c])`.
  public static func forward(_ op: GEGLU, _ x: ReferenceTensor) -> ReferenceTensor {
    let n = x.shape.channels / 2
    var y = ReferenceTensor(zeros: x.shape.withChannels(n))
    for r in 0..<x.shape.rows {
      for c in 0..<n {
        y.values[r * n + c] = x.values[r * 2 * n + c] * value(.gelu, x.values[r * 2 * n + n + c])
      }
    }
    return y
  }

  public static func backwardInput(_ op: GEGLU, _ dy: ReferenceTensor, x: ReferenceTensor) -> ReferenceTensor {
    let n = x.shape.channels / 2
    var dx = ReferenceTensor(zeros: x.shape)
    for r in 0..<x.shape.rows {
      for c in 0..<n {
        let (d, content, gate) = (dy.values[r * n + c], x.values[r * 2 * n + c], x.values[r * 2 * n + n + c])
        dx.values[r * 2 * n + c] = d * value(.gelu, gate)
        dx.values[r * 2 * n + n + c] = d * content * derivative(.gelu, gate)
      }
    }
    return dx
  }

  /// `y[b, h, w, c] = x[b, h / 2, w / 2, c]`.
  public static func forward(_ op: Upsample, _ x: ReferenceTensor) -> ReferenceTensor {
    let (height, width) = (2 * x.shape[1] - (op.trimsHeight ? 1 : 0), 2 * x.shape[2] - (op.trimsWidth ? 1 : 0))
    var y = ReferenceTensor(zeros: [x.shape[0], height, width, x.shape[3]])
    for (index, source) in upsampleSources(of: y.shape).enumerated() { y.values[index] = x.values[source] }
    return y
  }

  public static func backwardInput(_ op: Upsample, _ dy: ReferenceTensor) -> ReferenceTensor {
    var dx = ReferenceTensor(zeros: [dy.shape[0], (dy.shape[1] + 1) / 2, (dy.shape[2] + 1) / 2, dy.shape[3]])
    for (index, source) in upsampleSources(of: dy.shape).enumerated() { dx.values[source] += dy.values[index] }
    return dx
  }

  /// For each element of the large picture the element of the small one that it copies.
  private static func upsampleSources(of large: Shape) -> [Int] {
    let (height, width) = ((large[1] + 1) / 2, (large[2] + 1) / 2)
    var sources: [Int] = []
    for b in 0..<large[0] {
      for h in 0..<large[1] {
        for w in 0..<large[2] {
          for c in 0..<large[3] { sources.append(((b * height + h / 2) * width + w / 2) * large[3] + c) }
        }
      }
    }
    return sources
  }

  public static func forward(_ op: ConcatenateChannels, _ a: ReferenceTensor, _ b: ReferenceTensor) -> ReferenceTensor {
    let (m, n) = (a.shape.channels, b.shape.channels)
    var y: [Double] = []
    for r in 0..<a.shape.rows { y += a.values[r * m..<(r + 1) * m] + b.values[r * n..<(r + 1) * n] }
    return ReferenceTensor(a.shape.withChannels(m + n), y)
  }

  public static func backwardInput(_ op: ConcatenateChannels, _ dy: ReferenceTensor, channels: Int)
    -> (a: ReferenceTensor, b: ReferenceTensor)
  {
    let all = dy.shape.channels
    var (a, b): ([Double], [Double]) = ([], [])
    for r in 0..<dy.shape.rows {
      a += dy.values[r * all..<r * all + channels]
      b += dy.values[r * all + channels..<(r + 1) * all]
    }
    return (
      ReferenceTensor(dy.shape.withChannels(channels), a), ReferenceTensor(dy.shape.withChannels(all - channels), b)
    )
  }

  public static func add(_ a: ReferenceTensor, _ b: ReferenceTensor) -> ReferenceTensor { a + b }

  /// `y[i, ...] = a[i] x[i, ...] + b[i] z[i, ...]`.
  public static func forward(_ op: WeightedSum, _ x: ReferenceTensor, _ z: ReferenceTensor) -> ReferenceTensor {
    let sample = x.shape.count / x.shape[0]
    return ReferenceTensor(
      x.shape,
      x.values.indices.map { Double(op.a[$0 / sample]) * x.values[$0] + Double(op.b[$0 / sample]) * z.values[$0] })
  }

  /// `y[i, c] = sum over p of x[i, p, c]`.
  public static func forward(_ op: PixelSum, _ x: ReferenceTensor) -> ReferenceTensor {
    let channels = x.shape.channels
    let sample = x.values.count / x.shape[0]
    var y = ReferenceTensor(zeros: [x.shape[0], channels])
    for (index, value) in x.values.enumerated() { y.values[index / sample * channels + index % channels] += value }
    return y
  }

  /// Sinusoids of `t exp(-ln(10000) i / (dimension / 2 - shift))`.
  public static func forward(_ op: TimestepEmbedding, _ timesteps: [Float]) -> ReferenceTensor {
    let half = op.dimension / 2
    var y = ReferenceTensor(zeros: [timesteps.count, op.dimension])
    for (n, timestep) in timesteps.enumerated() {
      for i in 0..<half {
        let angle = Double(timestep) * exp(-log(10000.0) * Double(i) / (Double(half) - Double(op.frequencyShift)))
        y.values[n * op.dimension + (op.flipsSineToCosine ? half : 0) + i] = sin(angle)
        y.values[n * op.dimension + (op.flipsSineToCosine ? 0 : half) + i] = cos(angle)
      }
    }
    return y
  }

  /// `sum(w e(prediction - target)) / n`, `[1]`.
  public static func forward(
    _ op: PredictionLoss, prediction: ReferenceTensor, target: ReferenceTensor, weights: ReferenceTensor? = nil
  ) -> ReferenceTensor {
    var sum = 0.0
    for (index, (p, t)) in zip(prediction.values, target.values).enumerated() {
      var error = (p - t) * (p - t)
      if let huber = op.huber {
        let c = Double(huber[index * huber.count / prediction.values.count])
        error = 2 * c * (((p - t) * (p - t) + c * c).squareRoot() - c)
      }
      sum += error * (weights.map { $0.values[index * $0.values.count / prediction.values.count] } ?? 1)
    }
    return ReferenceTensor([1], [sum / Double(target.values.count)])
  }

  /// `scale w e'(prediction - target) / n`.
  public static func backwardInput(
    _ op: PredictionLoss, prediction: ReferenceTensor, target: ReferenceTensor, weights: ReferenceTensor? = nil,
    scale: Float
  ) -> ReferenceTensor {
    let count = prediction.values.count
    let gradient = zip(prediction.values, target.values).enumerated().map { index, pair in
      let d = pair.0 - pair.1
      var slope = 2 * d
      if let huber = op.huber {
        let c = Double(huber[index * huber.count / count])
        slope = 2 * c * d / (d * d + c * c).squareRoot()
      }
      let weight = weights.map { $0.values[index * $0.values.count / count] } ?? 1
      return Double(scale) * weight * slope / Double(count)
    }
    return ReferenceTensor(prediction.shape, gradient)
  }
}
