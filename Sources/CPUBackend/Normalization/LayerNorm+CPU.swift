import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  public func forward(
    _ op: LayerNorm, _ x: Tensor<CPUStorage>, scale: Tensor<CPUStorage>, shift: Tensor<CPUStorage>
  ) throws(OperationError) -> (y: Tensor<CPUStorage>, saved: LayerNorm.Saved<CPUStorage>) {
    let (rows, channels) = (x.shape.rows, x.shape.channels)
    let y = try empty(x.shape, x.type, "LayerNorm.forward")
    let mean = try empty([rows], .float32, "LayerNorm.forward")
    let reciprocal = try empty([rows], .float32, "LayerNorm.forward")
    parallel(rows, by: rowsPerPiece(channels)) { start, length in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: channels) { scratch in
        vector_layer_norm(
          y.at(start * channels), mean.floats + start, reciprocal.floats + start, x.at(start * channels),
          x.type.vector, length, channels, scale.floats, shift.floats, op.epsilon, scratch.baseAddress)
      }
    }
    return (y, LayerNorm.Saved(mean: mean, reciprocalDeviation: reciprocal))
  }

  public func backwardInput(
    _ op: LayerNorm, _ dy: Tensor<CPUStorage>, x: Tensor<CPUStorage>, scale: Tensor<CPUStorage>,
    saved: LayerNorm.Saved<CPUStorage>, residual: Tensor<CPUStorage>?
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let (rows, channels) = (x.shape.rows, x.shape.channels)
    let dx = try empty(x.shape, x.type, "LayerNorm.backwardInput")
    parallel(rows, by: rowsPerPiece(channels)) { start, length in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * channels) { scratch in
        vector_layer_norm_backward(
          dx.at(start * channels), dy.at(start * channels), x.at(start * channels),
          residual.map { UnsafeRawPointer($0.at(start * channels)) }, x.type.vector, length, channels, scale.floats,
          saved.mean.floats + start, saved.reciprocalDeviation.floats + start, scratch.baseAddress)
      }
    }
    return dx
  }
}
