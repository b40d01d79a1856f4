import Tensors

/// What is known of one optimizer step once it is done; observers see this and nothing else of the step.
public struct StepResult: Sendable {
  /// The step's number, from 1.
  public let step: Int
  /// Mean squared error, averaged over the micro-batches.
  public let loss: Float
  public let learningRate: Float
  /// The gradient of the rows before the optimizer, `[n, width]`, unscaled.
  public let gradient: HostTensor
  /// The rows after the step, `[n, width]`.
  public let rows: HostTensor
  public let lossScale: Float
  /// Wall-clock time of the step.
  public let seconds: Double

  /// The Euclidean norm of the whole gradient.
  public var gradientNorm: Float { gradient.values.reduce(0) { $0 + $1 * $1 }.squareRoot() }

  /// The mean Euclidean norm of a row.
  public var rowNorm: Float {
    let norms = rows.rowNorms
    return norms.reduce(0, +) / Float(max(1, norms.count))
  }
}
