import ModelFiles

/// The sizes of known models: what is needed to build one with random weights, with no file.
public struct ModelShape: Sendable, Hashable {
  public let name: String
  /// The first text encoder, which every model has.
  public let textEncoder: CLIPTextConfiguration
  public let textEncoder2: CLIPTextConfiguration?
  public let unet: UNetConfiguration
  public let autoencoder: AutoencoderConfiguration
  public let scheduler: SchedulerConfiguration
  /// The side of the pictures the model was trained on.
  public let resolution: Int

  public init(
    name: String, textEncoder: CLIPTextConfiguration, textEncoder2: CLIPTextConfiguration? = nil,
    unet: UNetConfiguration, autoencoder: AutoencoderConfiguration,
    scheduler: SchedulerConfiguration = SchedulerConfiguration(), resolution: Int
  ) {
    self.name = name
    self.textEncoder = textEncoder
    self.textEncoder2 = textEncoder2
    self.unet = unet
    self.autoencoder = autoencoder
    self.scheduler = scheduler
    self.resolution = resolution
  }

  /// The text encoders, one or two, in the order in which their channels stand in the context.
  public var textEncoders: [CLIPTextConfiguration] { [textEncoder] + (textEncoder2.map { [$0] } ?? []) }

  /// The text encoders by the part of a model that each is.
  public var textComponents: [(component: Component, configuration: CLIPTextConfiguration)] {
    Array(zip([.textEncoder, .textEncoder2], textEncoders))
  }

  /// How many tokens a prompt becomes at the most, start and end among them.
  public var positions: Int { textEncoders.map(\.positions).min() ?? 0 }

  /// What is read of each text encoder: models that take pooled text have it of the last, and their context is of the layers
  /// before the last.
  public func textReadings(pooling: TextPooling = .endOfText) -> [TextReading] {
    guard unet.added != nil else { return textEncoders.map { _ in TextReading() } }
    return textEncoders.indices.map {
      TextReading(.penultimate, pooling: $0 == textEncoders.count - 1 ? pooling : nil)
    }
  }

  /// Stable Diffusion 1.4 and 1.5.
  public static let sd15 = ModelShape(
    name: "sd15",
    textEncoder: CLIPTextConfiguration(
      width: 768, hiddenWidth: 3072, layers: 12, heads: 12, activation: .quickGELU),
    unet: UNetConfiguration(
      levels: [
        .init(channels: 320, attends: true), .init(channels: 640, attends: true),
        .init(channels: 1280, attends: true), .init(channels: 1280, attends: false),
      ], contextWidth: 768),
    autoencoder: AutoencoderConfiguration(levels: [128, 256, 512, 512]), resolution: 512)

  /// Stable Diffusion 2.1.
  public static let sd21 = ModelShape(
    name: "sd21",
    textEncoder: CLIPTextConfiguration(width: 1024, hiddenWidth: 4096, layers: 23, heads: 16, activation: .gelu),
    unet: UNetConfiguration(
      levels: [
        .init(channels: 320, heads: 5, attends: true), .init(channels: 640, heads: 10, attends: true),
        .init(channels: 1280, heads: 20, attends: true), .init(channels: 1280, heads: 20, attends: false),
      ], contextWidth: 1024, usesLinearProjection: true, sampleSize: 96),
    autoencoder: AutoencoderConfiguration(levels: [128, 256, 512, 512]),
    scheduler: SchedulerConfiguration(predictionType: PredictionType.velocity.rawValue), resolution: 768)

  /// The built-in model's own.
  public static let demo = ModelShape(
    name: "demo",
    textEncoder: CLIPTextConfiguration(
      vocabularySize: 742, width: 128, hiddenWidth: 512, layers: 4, heads: 4, activation: .quickGELU,
      projectionWidth: 128),
    unet: UNetConfiguration(
      levels: [
        .init(channels: 64, layers: 1, heads: 4, attends: true),
        .init(channels: 96, layers: 1, heads: 4, attends: true),
        .init(channels: 128, layers: 1, heads: 4, attends: false),
      ], contextWidth: 128, sampleSize: 16),
    autoencoder: AutoencoderConfiguration(
      levels: [32, 64, 96], layers: 1, groups: 16, scalingFactor: 0.6450439333201483),
    resolution: 64)

  /// Stable Diffusion XL 1.0's base.
  public static let sdxl = ModelShape(
    name: "sdxl",
    textEncoder: CLIPTextConfiguration(width: 768, hiddenWidth: 3072, layers: 12, heads: 12, activation: .quickGELU),
    textEncoder2: CLIPTextConfiguration(
      width: 1280, hiddenWidth: 5120, layers: 32, heads: 20, activation: .gelu, projectionWidth: 1280),
    unet: UNetConfiguration(
      levels: [
        .init(channels: 320, heads: 5, attends: false), .init(channels: 640, heads: 10, transformers: 2, attends: true),
        .init(channels: 1280, heads: 20, transformers: 10, attends: true),
      ], contextWidth: 2048, added: .init(pooledWidth: 1280), usesLinearProjection: true, sampleSize: 128),
    autoencoder: AutoencoderConfiguration(levels: [128, 256, 512, 512], scalingFactor: 0.13025), resolution: 1024)

  /// Built as Stable Diffusion XL is, of a size for tests.
  public static let tinySDXL = ModelShape(
    name: "tiny-sdxl",
    textEncoder: CLIPTextConfiguration(
      vocabularySize: 742, width: 32, hiddenWidth: 64, layers: 3, heads: 4, activation: .quickGELU),
    textEncoder2: CLIPTextConfiguration(
      vocabularySize: 742, width: 40, hiddenWidth: 80, layers: 3, heads: 5, activation: .gelu, projectionWidth: 36),
    unet: UNetConfiguration(
      levels: [
        .init(channels: 16, layers: 1, heads: 2, attends: false),
        .init(channels: 20, layers: 1, heads: 2, transformers: 2, attends: true),
        .init(channels: 24, layers: 1, heads: 3, transformers: 3, attends: true),
      ], contextWidth: 72, added: .init(pooledWidth: 36, sizeWidth: 8), usesLinearProjection: true, groups: 4,
      sampleSize: 8),
    autoencoder: AutoencoderConfiguration(levels: [4, 8], layers: 1, groups: 4, scalingFactor: 0.13025),
    resolution: 16)

  public static let all: [ModelShape] = [sd15, sd21, sdxl, demo, tinySDXL]
}
