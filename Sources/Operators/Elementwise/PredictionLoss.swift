import Tensors

/// How far a prediction is from its target, `[1]` in float32: `loss = sum(w e(d)) / n` with `d = prediction - target` over all `n`
/// elements, `e(d) = d²` and, where places have weights, `w` the weight of the element's place; else 1.
///
/// With `huber`, `e` is the pseudo-Huber error `2c (√(d² + c²) - c)`: `d²` where `d` is far below `c`, and `2c |d|` far above, so that
/// outliers pull less ("Improving diffusion models' data-corruption resistance using scheduled pseudo-Huber loss", 2024,
/// arXiv 2403.16728, as kohya's trainer has it).
///
/// `dPrediction = 2 scale w e'(d) / (2n)`, where `e'(d) / 2` is `d`, or `d c / √(d² + c²)`.
public struct PredictionLoss: Sendable, Hashable {
  /// Pseudo-Huber's `c`, above 0, one a sample; nil for the squared error.
  public let huber: [Float]?

  public init(huber: [Float]? = nil) { self.huber = huber }

  /// Weights, one a place, have the prediction's shape with 1 for its channels.
  public func check(_ prediction: Shape, _ target: Shape, weights: Shape?) throws(OperationError) {
    try require(
      prediction == target && prediction.rank >= 1, "PredictionLoss", "prediction \(prediction), target \(target)")
    if let huber {
      try require(
        huber.count == prediction[0] && huber.allSatisfy { $0 > 0 && $0.isFinite }, "PredictionLoss",
        "prediction \(prediction), \(huber.count) thresholds, which must be above 0")
    }
    if let weights {
      try require(
        weights == Shape(Array(prediction.dimensions.dropLast()) + [1]), "PredictionLoss",
        "prediction \(prediction), weights \(weights)")
    }
  }
}
