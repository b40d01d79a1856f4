import Operators
import Tensors

extension Reference {
  /// A normalization's result and statistics.
  public struct Normalized: Sendable {
    public let y: ReferenceTensor
    public let mean: ReferenceTensor
    public let reciprocalDeviation: ReferenceTensor
  }

  /// `y = activation((x - mean) r scale + shift)`, mean and `r = 1 / √(variance + epsilon)` over the pixels and channels of a group.
  public static func forward(_ op: GroupNorm, _ x: ReferenceTensor, scale: ReferenceTensor, shift: ReferenceTensor)
    -> Normalized
  {
    let groups = groupIndices(op, x.shape)
    var y = ReferenceTensor(zeros: x.shape)
    var mean = ReferenceTensor(zeros: [x.shape[0], op.groups])
    var deviation = mean
    for (group, indices) in groups.enumerated() {
      (mean.values[group], deviation.values[group]) = statistics(x, indices, op.epsilon)
      for index in indices {
        let c = index % x.shape.channels
        let normalized = (x.values[index] - mean.values[group]) * deviation.values[group]
        let z = normalized * scale.values[c] + shift.values[c]
        y.values[index] = op.activation.map { value($0, z) } ?? z
      }
    }
    return Normalized(y: y, mean: mean, reciprocalDeviation: deviation)
  }

  /// `dx = r (g - mean(g) - x̂ mean(g x̂)) + residual`, `g = dy activation'(x̂ scale + shift) scale`.
  ///
  /// `magnitude` is the largest `r |g|`: the terms whose difference `dx` is.
  public static func backwardInput(
    _ op: GroupNorm, _ dy: ReferenceTensor, x: ReferenceTensor, scale: ReferenceTensor, shift: ReferenceTensor,
    residual: ReferenceTensor? = nil
  ) -> (dx: ReferenceTensor, magnitude: Double) {
    var dx = ReferenceTensor(zeros: x.shape)
    var magnitude = 0.0
    for indices in groupIndices(op, x.shape) {
      let (mean, r) = statistics(x, indices, op.epsilon)
      let normalized = indices.map { (x.values[$0] - mean) * r }
      let g = zip(indices, normalized).map { index, normalized in
        let c = index % x.shape.channels
        let slope = op.activation.map { derivative($0, normalized * scale.values[c] + shift.values[c]) } ?? 1
        return dy.values[index] * slope * scale.values[c]
      }
      let gradients = normalizationGradient(normalized, g, r)
      for (index, gradient) in zip(indices, gradients) { dx.values[index] = gradient }
      magnitude = g.reduce(magnitude) { max($0, abs(r * $1)) }
    }
    return (dx + residual, magnitude)
  }

  /// `y = (x - mean) r scale + shift`, row by row.
  public static func forward(_ op: LayerNorm, _ x: ReferenceTensor, scale: ReferenceTensor, shift: ReferenceTensor)
    -> Normalized
  {
    let channels = x.shape.channels
    var y = ReferenceTensor(zeros: x.shape)
    var mean = ReferenceTensor(zeros: [x.shape.rows])
    var deviation = mean
    for row in 0..<x.shape.rows {
      let indices = Array(row * channels..<(row + 1) * channels)
      (mean.values[row], deviation.values[row]) = statistics(x, indices, op.epsilon)
      for (c, index) in indices.enumerated() {
        y.values[index] =
          (x.values[index] - mean.values[row]) * deviation.values[row] * scale.values[c] + shift.values[c]
      }
    }
    return Normalized(y: y, mean: mean, reciprocalDeviation: deviation)
  }

  /// `dx = r (g - mean(g) - x̂ mean(g x̂)) + residual`, `g = dy scale`; `magnitude` as for the group norm.
  public static func backwardInput(
    _ op: LayerNorm, _ dy: ReferenceTensor, x: ReferenceTensor, scale: ReferenceTensor,
    residual: ReferenceTensor? = nil
  ) -> (dx: ReferenceTensor, magnitude: Double) {
    let channels = x.shape.channels
    var dx = ReferenceTensor(zeros: x.shape)
    var magnitude = 0.0
    for row in 0..<x.shape.rows {
      let indices = Array(row * channels..<(row + 1) * channels)
      let (mean, r) = statistics(x, indices, op.epsilon)
      let normalized = indices.map { (x.values[$0] - mean) * r }
      let g = indices.map { dy.values[$0] * scale.values[$0 % channels] }
      for (index, gradient) in zip(indices, normalizationGradient(normalized, g, r)) { dx.values[index] = gradient }
      magnitude = g.reduce(magnitude) { max($0, abs(r * $1)) }
    }
    return (dx + residual, magnitude)
  }

  /// The elements of each group, batch by batch and group by group.
  private static func groupIndices(_ op: GroupNorm, _ shape: Shape) -> [[Int]] {
    let pixels = shape.rows / shape[0]
    let width = shape.channels / op.groups
    var groups: [[Int]] = []
    for n in 0..<shape[0] {
      for group in 0..<op.groups {
        var indices: [Int] = []
        for pixel in 0..<pixels {
          for c in 0..<width { indices.append((n * pixels + pixel) * shape.channels + group * width + c) }
        }
        groups.append(indices)
      }
    }
    return groups
  }

  private static func statistics(_ x: ReferenceTensor, _ indices: [Int], _ epsilon: Float) -> (Double, Double) {
    let count = Double(indices.count)
    let mean = indices.reduce(0) { $0 + x.values[$1] } / count
    let variance = indices.reduce(0) { $0 + (x.values[$1] - mean) * (x.values[$1] - mean) } / count
    return (mean, 1 / (variance + Double(epsilon)).squareRoot())
  }

  private static func normalizationGradient(_ normalized: [Double], _ g: [Double], _ r: Double) -> [Double] {
    let count = Double(g.count)
    let mean = g.reduce(0, +) / count
    let projection = zip(g, normalized).reduce(0) { $0 + $1.0 * $1.1 } / count
    return zip(g, normalized).map { r * ($0 - mean - $1 * projection) }
  }
}
