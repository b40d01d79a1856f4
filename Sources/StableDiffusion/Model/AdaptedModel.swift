import Foundation
import ModelFiles
import Tensors

/// How a model is read otherwise than its own files say.
public struct ModelReading: Sendable, Hashable, Codable {
  /// A VAE's file or folder, in place of the model's own.
  public var vae: String?
  /// A model folder whose configurations and tokenizers are taken: for a single file whose tensors do not tell them.
  public var configuration: String?
  /// What the UNet predicts.
  public var predictionType: PredictionType?
  /// Whether the running means of the UNet's weights are taken, of a single file that has them.
  public var usesMeans: Bool?
  /// Which of a folder's weights are taken where several variants lie side by side, such as `fp16`.
  public var variant: String?

  public init() {}

  public var isEmpty: Bool { self == ModelReading() }
}

/// A model with some of it taken from elsewhere.
struct AdaptedModel: ModelSource {
  let base: any ModelSource
  var vae: AutoencoderFile?
  var configuration: DiffusersFolder?
  var predictionType: PredictionType?

  var name: String { base.name }
  var location: URL? { base.location }
  var warn: @Sendable (String) -> Void { base.warn }
  var schedulerFile: URL? { configured.schedulerFile }
  var zeroesEmptyPrompt: Bool { configured.zeroesEmptyPrompt }

  /// Where configurations come from.
  private var configured: any ModelSource {
    if let configuration { configuration } else { base }
  }

  func textEncoder(_ component: Component) throws(UserError) -> CLIPTextConfiguration {
    try configured.textEncoder(component)
  }

  func unet() throws(UserError) -> UNetConfiguration { try configured.unet() }

  func autoencoder() throws(UserError) -> AutoencoderConfiguration {
    if let file = vae?.configurationFile { return try AutoencoderConfiguration(jsonFile: file) }
    if let configuration { return try configuration.autoencoder() }
    guard let vae else { return try base.autoencoder() }
    if let file = base as? SingleFile {
      return try AutoencoderConfiguration(vae.tensors, scalingFactor: file.family.scalingFactor)
    }
    return try AutoencoderConfiguration(vae.tensors, scalingFactor: base.autoencoder().scalingFactor)
  }

  func scheduler() throws(UserError) -> SchedulerConfiguration {
    var scheduler = try configured.scheduler()
    if let predictionType {
      scheduler.predictionType = predictionType.rawValue
      // Out of nothing but noise no noise can be predicted.
      if predictionType == .epsilon { scheduler.rescaleBetasZeroSNR = false }
    }
    return scheduler
  }

  func weights(_ component: Component) throws(UserError) -> any WeightSource {
    if component == .vae, let vae { return try vae.weights(warn: warn) }
    return try base.weights(component)
  }

  func tokenizer(_ component: Component) throws(UserError) -> CLIPTokenizer {
    if let configuration, FileManager.default.fileExists(atPath: configuration.tokenizerFolder(component).path) {
      return try configuration.tokenizer(component)
    }
    return try base.tokenizer(component)
  }

  func sha256() throws(UserError) -> [String: String] {
    var hashes = try base.sha256()
    if let vae {
      hashes = hashes.filter { !$0.key.hasPrefix("vae/") }
      hashes.merge(try vae.sha256()) { _, new in new }
    }
    if let configuration {
      for (name, hash) in try configuration.configurationSHA256() { hashes["configuration/\(name)"] = hash }
    }
    return hashes
  }
}
