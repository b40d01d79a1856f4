import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  public func forward(_ op: GEGLU, _ x: Tensor<CPUStorage>) throws(OperationError) -> Tensor<CPUStorage> {
    let result = try op.outputShape(x.shape)
    let y = try empty(result, x.type, "GEGLU.forward")
    let channels = result.channels
    parallel(result.rows, by: rowsPerPiece(channels)) { start, length in
      vector_geglu(y.at(start * channels), x.at(2 * start * channels), x.type.vector, length, channels)
    }
    return y
  }

  public func backwardInput(
    _ op: GEGLU, _ dy: Tensor<CPUStorage>, x: Tensor<CPUStorage>
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let result = try op.outputShape(x.shape)
    let dx = try empty(x.shape, x.type, "GEGLU.backwardInput")
    let channels = result.channels
    parallel(result.rows, by: rowsPerPiece(channels)) { start, length in
      vector_geglu_backward(
        dx.at(2 * start * channels), dy.at(start * channels), x.at(2 * start * channels), x.type.vector, length,
        channels)
    }
    return dx
  }
}
