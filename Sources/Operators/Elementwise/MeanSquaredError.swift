import Tensors

/// `loss = mean((prediction - target)²)` over all elements, `[1]` in float32; `dPrediction = 2 scale (prediction - target) / n`.
public struct MeanSquaredError: Sendable, Hashable {
  public init() {}

  public func check(_ prediction: Shape, _ target: Shape) throws(OperationError) {
    try require(prediction == target, "MeanSquaredError", "prediction \(prediction), target \(target)")
  }
}
