import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  public func forward(_ op: Upsample, _ x: Tensor<CPUStorage>) throws(OperationError) -> Tensor<CPUStorage> {
    let y = try empty(try op.outputShape(x.shape), x.type, "Upsample.forward")
    let (height, width, channels) = (y.shape[1], y.shape[2], y.shape[3])
    let bytes = channels * x.type.size
    parallel(x.shape[0] * x.shape[1]) { row in
      let source = x.at(row * x.shape[2] * channels)
      let (sample, upper) = (row / x.shape[1], 2 * (row % x.shape[1]))
      let target = y.at((sample * height + upper) * width * channels)
      for column in 0..<width {
        (target + column * bytes).copyMemory(from: source + column / 2 * bytes, byteCount: bytes)
      }
      if upper + 1 < height {
        (target + width * bytes).copyMemory(from: target, byteCount: width * bytes)
      }
    }
    return y
  }

  public func backwardInput(_ op: Upsample, _ dy: Tensor<CPUStorage>) throws(OperationError) -> Tensor<CPUStorage> {
    let dx = try empty(try op.inputShape(dy.shape), dy.type, "Upsample.backwardInput")
    let (height, width, channels) = (dy.shape[1], dy.shape[2], dy.shape[3])
    parallel(dx.shape[0] * dx.shape[1]) { row in
      let (sample, upper) = (row / dx.shape[1], 2 * (row % dx.shape[1]))
      for column in 0..<dx.shape[2] {
        let first = ((sample * height + upper) * width + 2 * column) * channels
        // Where a row or a column was trimmed there is no copy to sum.
        let right = 2 * column + 1 < width ? UnsafeRawPointer(dy.at(first + channels)) : nil
        let below = upper + 1 < height ? UnsafeRawPointer(dy.at(first + width * channels)) : nil
        let across = right != nil && below != nil ? UnsafeRawPointer(dy.at(first + (width + 1) * channels)) : nil
        vector_add4(
          dx.at((row * dx.shape[2] + column) * channels), dy.at(first), right, below, across, dy.type.vector, channels)
      }
    }
    return dx
  }
}
