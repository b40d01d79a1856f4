import Operators
import Tensors

extension CPUBackend {
  public func forward(
    _ op: ConcatenateChannels, _ a: Tensor<CPUStorage>, _ b: Tensor<CPUStorage>
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let y = try empty(try op.outputShape(a.shape, b.shape), a.type, "ConcatenateChannels.forward")
    let channels = y.shape.channels
    let (left, right) = (a.shape.channels, b.shape.channels)
    let size = a.type.size
    parallel(y.shape.rows, by: rowsPerPiece(channels)) { start, length in
      for row in start..<start + length {
        y.at(row * channels).copyMemory(from: a.at(row * left), byteCount: left * size)
        y.at(row * channels + left).copyMemory(from: b.at(row * right), byteCount: right * size)
      }
    }
    return y
  }

  public func backwardInput(
    _ op: ConcatenateChannels, _ dy: Tensor<CPUStorage>, channels left: Int
  ) throws(OperationError) -> (a: Tensor<CPUStorage>, b: Tensor<CPUStorage>) {
    let channels = dy.shape.channels
    let right = channels - left
    let a = try empty(dy.shape.withChannels(left), dy.type, "ConcatenateChannels.backwardInput")
    let b = try empty(dy.shape.withChannels(right), dy.type, "ConcatenateChannels.backwardInput")
    let size = dy.type.size
    parallel(dy.shape.rows, by: rowsPerPiece(channels)) { start, length in
      for row in start..<start + length {
        a.at(row * left).copyMemory(from: dy.at(row * channels), byteCount: left * size)
        b.at(row * right).copyMemory(from: dy.at(row * channels + left), byteCount: right * size)
      }
    }
    return (a, b)
  }
}
