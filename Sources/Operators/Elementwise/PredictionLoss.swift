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
}

extension PredictionLoss {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "PredictionLoss.forward"
    public static let pass = OperationPass.forward
    public let op: PredictionLoss
    public let prediction: TensorDescriptor
    public let target: TensorDescriptor
    public let weights: TensorDescriptor?

    public func results() throws(OperationError) -> [TensorDescriptor] {
      let shape = prediction.shape
      try require(
        shape.rank >= 1 && shape.count > 0, "the prediction is \(prediction), not [batch, ...] with an element at least"
      )
      try require(target, "the target", is: TensorDescriptor(shape, .float32))
      if let huber = op.huber {
        try require(
          huber.count == shape[0] && huber.allSatisfy { $0 > 0 && $0.isFinite },
          "prediction \(prediction), \(huber.count) thresholds, which must be above 0")
      }
      // What has one dimension has no places.
      try require(weights == nil || shape.rank >= 2, "the prediction is \(prediction), the weights are of places")
      try require(weights, "the weights", is: TensorDescriptor(shape.withChannels(1), .float32))
      return [TensorDescriptor([1], .float32)]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "PredictionLoss.backwardInput"
    public static let pass = OperationPass.backward
    public let forward: ForwardCall

    public func results() throws(OperationError) -> [TensorDescriptor] {
      _ = try results(of: forward)
      return [forward.prediction]
    }
  }
}
