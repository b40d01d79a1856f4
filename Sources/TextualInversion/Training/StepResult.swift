import ModelFiles
import Tensors

/// What is known of one optimizer step once it is done; observers see this and nothing else of the step.
public struct StepResult: Sendable {
  /// The step's number, from 1.
  public let step: Int
  /// The loss, averaged over the micro-batches.
  public let loss: Float
  public let learningRate: Float
  /// The gradients of what is trained before the optimizer, unscaled.
  public let gradients: Parameters
  /// What is trained, after the step.
  public let parameters: Parameters
  public let lossScale: Float
  /// Wall-clock time of the step.
  public let seconds: Double

  /// The Euclidean norm of an encoder's whole gradient.
  public func gradientNorm(_ encoder: Component) -> Float {
    gradients.filter { $0.key.encoder == encoder }.sorted { $0.key < $1.key }
      .flatMap(\.value.values).reduce(0) { $0 + $1 * $1 }.squareRoot()
  }

  /// The mean Euclidean norm of a row of an encoder.
  public func rowNorm(_ encoder: Component) -> Float {
    let norms = parameters.filter { $0.key.encoder == encoder }.sorted { $0.key < $1.key }.flatMap(\.value.rowNorms)
    return norms.reduce(0, +) / Float(max(1, norms.count))
  }
}
