import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  public func forward(
    _ op: MeanSquaredError, prediction: Tensor<CPUStorage>, target: Tensor<CPUStorage>
  ) throws(OperationError) -> Tensor<CPUStorage> {
    try op.check(prediction.shape, target.shape)
    try requireFloat32("MeanSquaredError.forward", target)
    let loss = try empty([1], .float32, "MeanSquaredError.forward")
    let count = prediction.shape.count
    let pieces = (count + elementsPerPiece - 1) / elementsPerPiece
    let partial = try pool.allocate(pieces * 8, for: "MeanSquaredError.forward")
    parallel(count, by: elementsPerPiece) { start, length in
      partial.doubles[start / elementsPerPiece] = vector_squared_error(
        prediction.at(start), prediction.type.vector, target.floats + start, length)
    }
    var sum = 0.0
    for piece in 0..<pieces { sum += partial.doubles[piece] }
    loss.floats[0] = Float(sum / Double(count))
    return loss
  }

  public func backwardInput(
    _ op: MeanSquaredError, prediction: Tensor<CPUStorage>, target: Tensor<CPUStorage>, scale: Float
  ) throws(OperationError) -> Tensor<CPUStorage> {
    try op.check(prediction.shape, target.shape)
    try requireFloat32("MeanSquaredError.backwardInput", target)
    let dx = try empty(prediction.shape, prediction.type, "MeanSquaredError.backwardInput")
    let count = prediction.shape.count
    let factor = Float(2 * Double(scale) / Double(count))
    parallel(count, by: elementsPerPiece) { start, length in
      vector_squared_error_backward(
        dx.at(start), prediction.at(start), prediction.type.vector, target.floats + start, factor, length)
    }
    return dx
  }
}
