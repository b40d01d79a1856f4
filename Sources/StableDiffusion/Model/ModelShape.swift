import ModelFiles

/// The sizes of known models: what is needed to build one with random weights, with no file.
public struct ModelShape: Sendable, Hashable {
  public let name: String
  /// The text encoders, one or two, in the order in which their channels stand in the context.
  public let textEncoders: [CLIPTextConfiguration]
  /// The first of them, which every model has.
  public let textEncoder: CLIPTextConfiguration
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
    textEncoders = [textEncoder] + (textEncoder2.map { [$0] } ?? [])
    self.unet = unet
    self.autoencoder = autoencoder
    self.scheduler = scheduler
    self.resolution = resolution
  }

  /// The text encoder that is a component; nil where there is no such.
  public func textEncoder(_ component: Component) -> CLIPTextConfiguration? {
    switch component {
    case .textEncoder: textEncoder
    case .textEncoder2: textEncoders.count > 1 ? textEncoders[1] : nil
    default: nil
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
      vocabularySize: 742, width: 128, hiddenWidth: 512, layers: 4, heads: 4, activation: .quickGELU),
    unet: UNetConfiguration(
      levels: [
        .init(channels: 64, layers: 1, heads: 4, attends: true),
        .init(channels: 96, layers: 1, heads: 4, attends: true),
        .init(channels: 128, layers: 1, heads: 4, attends: false),
      ], contextWidth: 128, sampleSize: 16),
    autoencoder: AutoencoderConfiguration(
      levels: [32, 64, 96], layers: 1, groups: 16, scalingFactor: 0.6450439333201483),
    resolution: 64)

  public static let all: [ModelShape] = [sd15, sd21, demo]
}
