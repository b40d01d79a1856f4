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
      for row in 0..<rows.shape.rows { angles.append((rows.row(row).angle(to: start.row(row)) ?? 0) * 180 / .pi) }
    }
    return Float(angles.reduce(0, +) / Double(max(1, angles.count)))
  }
}
