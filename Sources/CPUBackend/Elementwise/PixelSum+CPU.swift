import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  public func forward(_ op: PixelSum, _ x: Tensor<CPUStorage>) throws(OperationError) -> Tensor<CPUStorage> {
    let shape = try op.outputShape(x.shape)
    let y = try empty(shape, x.type, "PixelSum.forward")
    let (pixels, channels) = (op.pixels(x.shape), shape[1])
    let size = rowsPerPiece(channels)
    let slices = max(1, (pixels + size - 1) / size)
    let parts = try pool.allocate(shape[0] * slices * channels * 4, for: "PixelSum.forward")
    parallel(shape[0] * slices) { piece in
      let (sample, slice) = (piece / slices, piece % slices)
      let part = parts.floats + piece * channels
      part.update(repeating: 0, count: channels)
      for pixel in slice * size..<min(pixels, (slice + 1) * size) {
        vector_accumulate(part, x.at((sample * pixels + pixel) * channels), x.type.vector, 1, channels)
      }
    }
    for sample in 0..<shape[0] {
      let sum = parts.floats + sample * slices * channels
      for slice in 1..<slices {
        vector_accumulate(sum, sum + slice * channels, vector_float32, 1, channels)
      }
      vector_convert(y.at(sample * channels), y.type.vector, sum, vector_float32, channels)
    }
    return y
  }
}
