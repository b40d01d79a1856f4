import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  public func forward(
    _ op: PredictionLoss, prediction: Tensor<CPUStorage>, target: Tensor<CPUStorage>, weights: Tensor<CPUStorage>?
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let pieces = try pieces(op, prediction, target, weights)
    let loss = try empty([1], .float32, "PredictionLoss.forward")
    let partial = try pool.allocate(pieces.count * 8, for: "PredictionLoss.forward")
    parallel(pieces.count) { index in
      let piece = pieces[index]
      partial.doubles[index] = vector_prediction_loss(
        prediction.at(piece.start), prediction.type.vector, target.floats + piece.start,
        weights.map { $0.floats + piece.start / piece.channels }, piece.channels, piece.huber, piece.length)
    }
    var sum = 0.0
    for piece in pieces.indices { sum += partial.doubles[piece] }
    loss.floats[0] = Float(sum / Double(prediction.shape.count))
    return loss
  }

  public func backwardInput(
    _ op: PredictionLoss, prediction: Tensor<CPUStorage>, target: Tensor<CPUStorage>, weights: Tensor<CPUStorage>?,
    scale: Float
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let pieces = try pieces(op, prediction, target, weights)
    let dx = try empty(prediction.shape, prediction.type, "PredictionLoss.backwardInput")
    let factor = Float(2 * Double(scale) / Double(prediction.shape.count))
    parallel(pieces.count) { index in
      let piece = pieces[index]
      vector_prediction_loss_backward(
        dx.at(piece.start), prediction.at(piece.start), prediction.type.vector, target.floats + piece.start,
        weights.map { $0.floats + piece.start / piece.channels }, piece.channels, piece.huber, factor, piece.length)
    }
    return dx
  }

  /// Whole places of one sample.
  private struct Piece {
    let start: Int
    let length: Int
    let channels: Int
    /// 0 for the squared error.
    let huber: Float
  }

  private func pieces(
    _ op: PredictionLoss, _ prediction: Tensor<CPUStorage>, _ target: Tensor<CPUStorage>, _ weights: Tensor<CPUStorage>?
  ) throws(OperationError) -> [Piece] {
    let samples = prediction.shape[0]
    let size = prediction.shape.count / max(1, samples)
    let channels = prediction.shape.rank > 1 ? prediction.shape.channels : 1
    let most = max(1, elementsPerPiece / max(1, channels)) * channels
    return (0..<samples).flatMap { sample in
      stride(from: 0, to: size, by: most).map { start in
        Piece(
          start: sample * size + start, length: min(most, size - start), channels: channels,
          huber: op.huber?[sample] ?? 0)
      }
    }
  }
}
