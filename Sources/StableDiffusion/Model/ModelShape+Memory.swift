import Operators
import Tensors

extension ModelShape {
  /// The longest side of a picture in pixels. Attention's time grows with the square of the pixels: one step over a longer
  /// picture takes hours, however flat it is.
  public static let longestSide = 8192

  /// Throws `usage` where a side is longer than the longest, or where drawing a picture takes more than the device has, whatever else it takes: the decoder makes
  /// one feature of its finest level from another.
  ///
  /// - Parameters:
  ///   - memory: of the device that decodes.
  ///   - type: how it stores features.
  public func checkDrawing(width: Int, height: Int, type: ElementType, memory: MemoryUse) throws(UserError) {
    guard max(width, height) <= Self.longestSide else {
      throw UserError(
        .usage, "a picture of \(width)x\(height): sides of up to \(Self.longestSide) pixels can be drawn",
        remedy: "make it smaller")
    }
    let least = Shape([2, height, width, autoencoder.levels.first ?? 1]).byteCount(type)
    try Self.check("a picture of \(width)x\(height)", least, memory, remedy: "make it smaller")
  }

  /// Throws `usage` where a training step takes more than the device has, whatever else it takes: every residual block
  /// of the UNet's finest level keeps its input for the way back.
  ///
  /// - Parameters:
  ///   - memory: of the device that trains.
  ///   - type: how it stores features.
  public func checkTraining(resolution: Int, batchSize: Int, type: ElementType, memory: MemoryUse) throws(UserError) {
    let side = resolution / max(1, autoencoder.sizeMultiple)
    let level = unet.levels.first.map { [$0.layers, $0.channels] } ?? []
    let least = Shape([2, batchSize, side, side] + level).byteCount(type)
    try Self.check(
      "a step over \(batchSize) pictures of \(resolution)x\(resolution)", least, memory,
      remedy: "take a smaller --resolution or --batch-size")
  }

  private static func check(_ what: String, _ least: Int, _ memory: MemoryUse, remedy: String) throws(UserError) {
    guard least > memory.limitBytes else { return }
    func gibibytes(_ bytes: Int) -> String { "\((Double(bytes) / 0x1p30 * 10).rounded() / 10) GiB" }
    let needed = least == .max ? "more memory than can be counted" : "at least \(gibibytes(least))"
    throw UserError(.usage, "\(what) takes \(needed), the device has \(gibibytes(memory.limitBytes))", remedy: remedy)
  }
}
