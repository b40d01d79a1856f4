import Tensors

/// Spherical training: the rows keep the length of the model's own words, and only their direction learns.
///
/// For row `e = m v`, `|v| = 1`, and the gradient `g_b` of each example `b` of the batch to it:
///
///     g_b ← g_b - ⟨g_b, v⟩ v      u_b = g_b / |g_b|      v ← normalize(v - η mean_b u_b)
///
/// Plain training lets rows grow to many times a word's length, which drowns the words beside it (Kim et al., "Directional
/// textual inversion", ICLR 2026, arXiv 2512.13672). With each example's gradient brought to length one, timesteps whose
/// gradients are a thousand times another's no longer rule the sum, and neither moments nor decay are needed. The angle `η`
/// is the learning rate, in radians; it is to fall to zero along a cosine.
public struct Spherical: Optimizer {
  public init() {}

  public var name: String { "spherical" }
  public var usesExamples: Bool { true }

  /// The rows on the sphere of the vocabulary's mean length.
  public func initialRows(_ rows: HostTensor, vocabularyNorm: Float) -> HostTensor {
    let width = rows.shape.channels
    var result = rows
    for (row, norm) in rows.rowNorms.enumerated() where norm > 0 {
      for index in row * width..<(row + 1) * width {
        result.values[index] = Float(Double(rows.values[index]) / Double(norm) * Double(vocabularyNorm))
      }
    }
    return result
  }

  public func initialState(for rows: HostTensor) -> OptimizerState { OptimizerState() }

  public func update(
    _ rows: inout HostTensor, gradient: RowGradient, state: inout OptimizerState, step: Int, learningRate: Float
  ) {
    let width = rows.shape.channels
    for start in stride(from: 0, to: rows.values.count, by: width) {
      let row = rows.values[start..<start + width].map(Double.init)
      let length = norm(row)
      guard length > 0 else { continue }
      let direction = row.map { $0 / length }
      var mean = Array(repeating: 0.0, count: width)
      for example in gradient.examples {
        let g = example.values[start..<start + width].map(Double.init)
        let radial = zip(g, direction).reduce(0) { $0 + $1.0 * $1.1 }
        let tangent = zip(g, direction).map { $0 - radial * $1 }
        let size = norm(tangent)
        // An example that does not show the row says nothing of it.
        guard size > 0 else { continue }
        for index in 0..<width { mean[index] += tangent[index] / size / Double(gradient.examples.count) }
      }
      let moved = zip(direction, mean).map { $0 - Double(learningRate) * $1 }
      let scale = length / norm(moved)
      for index in 0..<width { rows.values[start + index] = Float(moved[index] * scale) }
    }
  }

  private func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
}
