import Foundation
import ModelFiles
import Tensors

/// A number that is kept of every step: a column of `metrics.csv` and a curve of TensorBoard.
struct StepMetric: Sendable {
  let column: String
  let tag: String
  let value: @Sendable (StepResult, RunContext) -> Float

  private init(_ column: String, _ tag: String, _ value: @escaping @Sendable (StepResult, RunContext) -> Float) {
    self.column = column
    self.tag = tag
    self.value = value
  }

  /// What every run has.
  private static let common = [
    StepMetric("loss", "loss/train") { step, _ in step.loss },
    StepMetric("learning_rate", "learning_rate") { step, _ in step.learningRate },
    StepMetric("gradient_norm", "gradient_norm") { step, _ in step.gradientNorm(.textEncoder) },
    StepMetric("row_norm", "row_norm") { step, _ in step.rowNorm(.textEncoder) },
    StepMetric("row_angle", "row_angle") { step, run in step.rowAngle(.textEncoder, from: run.initialParameters) },
    StepMetric("loss_scale", "loss_scale") { step, _ in step.lossScale },
  ]

  /// What a run has beside, of a second encoder's rows.
  private static let second = [
    StepMetric("gradient_norm_2", "gradient_norm/encoder_2") { step, _ in step.gradientNorm(.textEncoder2) },
    StepMetric("row_norm_2", "row_norm/encoder_2") { step, _ in step.rowNorm(.textEncoder2) },
    StepMetric("row_angle_2", "row_angle/encoder_2") { step, run in
      step.rowAngle(.textEncoder2, from: run.initialParameters)
    },
  ]

  /// Those of a run.
  static func all(of run: RunContext) -> [StepMetric] {
    common + (run.state.parameters.keys.contains { $0.encoder == .textEncoder2 } ? second : [])
  }
}

extension StepResult {
  /// The mean angle between an encoder's rows and those of the same names in `initial`, in degrees; 0 where there are none.
  func rowAngle(_ encoder: Component, from initial: Parameters) -> Float {
    var angles: [Double] = []
    for (name, rows) in parameters.sorted(by: { $0.key < $1.key }) where name.encoder == encoder {
      guard let start = initial[name], start.shape == rows.shape else { continue }
      let width = rows.shape.channels
      for row in stride(from: 0, to: rows.values.count, by: width) {
        angles.append(Self.angle(rows.values[row..<row + width], start.values[row..<row + width]))
      }
    }
    return Float(angles.reduce(0, +) / Double(max(1, angles.count)))
  }

  /// The angle between two vectors in degrees: `2 atan2(|u - v|, |u + v|)` of their directions, exact at small angles too.
  private static func angle(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
    func norm(_ vector: ArraySlice<Float>) -> Double {
      vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    }
    let (aNorm, bNorm) = (norm(a), norm(b))
    guard aNorm > 0, bNorm > 0 else { return 0 }
    var (difference, sum) = (0.0, 0.0)
    for (x, y) in zip(a, b) {
      let (u, v) = (Double(x) / aNorm, Double(y) / bNorm)
      difference += (u - v) * (u - v)
      sum += (u + v) * (u + v)
    }
    return 2 * atan2(difference.squareRoot(), sum.squareRoot()) * 180 / .pi
  }
}
