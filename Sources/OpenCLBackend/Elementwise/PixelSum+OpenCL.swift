import Operators
import Tensors

struct PixelSumParameters: ChannelwiseParameters {
  static let source = "Elementwise/pixel_sum.cl"
  let vector: ChannelVector
}

extension OpenCLBackend {
  public func forward(_ op: PixelSum, _ x: Tensor<OpenCLBuffer>) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let y = try allocate(try op.outputShape(x.shape), x.type)
    let (batch, pixels, channels) = (y.shape[0], op.pixels(x.shape), y.shape[1])
    let parameters = PixelSumParameters(vector: ChannelVector(dividing: channels))
    let vectors = channels / parameters.vector.width
    // Slices enough to fill a device, of 64 pixels or more.
    let slicePixels = max(64, (pixels + 63) / 64)
    let slices = max(1, (pixels + slicePixels - 1) / slicePixels)
    let parts = try allocate([batch, slices, channels], .float32)
    try run(
      "pixel_sum_partial", parameters, storage: x.type, WorkSize(items: batch * slices * vectors), parts, x, batch,
      pixels, vectors, slices, slicePixels)
    try run(
      "pixel_sum_total", parameters, storage: x.type, WorkSize(items: batch * channels), y, parts, batch, channels,
      slices)
    return y
  }
}
