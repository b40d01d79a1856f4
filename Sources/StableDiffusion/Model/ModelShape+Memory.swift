import ModelFiles
import Operators
import Tensors

extension ModelShape {
  /// The longest side of a picture in pixels. Attention's time grows with the square of the pixels: one step over a longer
  /// picture takes hours, however flat it is.
  public static let longestSide = 8192

  /// Throws `usage` where a side is longer than the longest, or where drawing a picture takes more than the device has: a dry run of
  /// the decoder tells.
  ///
  /// - Parameter backend: that decodes.
  public func checkDrawing<B: Backend>(width: Int, height: Int, on backend: B) throws(UserError) {
    guard max(width, height) <= Self.longestSide else {
      throw UserError(
        .usage, "a picture of \(width)x\(height): sides of up to \(Self.longestSide) pixels can be drawn",
        remedy: "make it smaller")
    }
    let limit = backend.memory.limitBytes
    guard let taken = memoryOfDrawing(width: width, height: height, on: backend), taken > limit else { return }
    let needed = taken == .max ? "more memory than the device has in one piece" : MemoryUse.text(taken)
    throw UserError(
      .usage, "a picture of \(width)x\(height) takes \(needed), the device has \(MemoryUse.text(limit))",
      remedy: "make it smaller")
  }

  /// Bytes at the most; nil where no dry run is to be had, and the run itself will tell.
  private func memoryOfDrawing<B: Backend>(width: Int, height: Int, on backend: B) -> Int? {
    do {
      let dry = try backend.dryRun()
      let vae = try AutoencoderKL(dry, autoencoder, weights: BlankWeights(), parts: .decoder)
      let multiple = autoencoder.sizeMultiple
      let latents = HostTensor.blank([1, height / multiple, width / multiple, autoencoder.latentChannels])
      _ = try vae.decode(dry.upload(latents, as: dry.precision))
      return dry.memory.peakBytes
    } catch {
      return (error as? OperationError)?.code == .outOfMemory ? .max : nil
    }
  }
}
