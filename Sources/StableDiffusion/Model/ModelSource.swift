import Foundation
import ModelFiles
import Tensors

/// Where a model comes from: its configuration, the weights of its parts and its tokenizers, however they are stored.
///
/// It is opened, not loaded: a component's weights are read when they are asked for.
public protocol ModelSource: Sendable {
  /// What the model is called where a person reads it.
  var name: String { get }
  /// Where it lies; nil where it is in no file.
  var location: URL? { get }
  /// Told what is read otherwise than the files suggest, a line each.
  var warn: @Sendable (String) -> Void { get }

  func textEncoder(_ component: Component) throws(UserError) -> CLIPTextConfiguration
  func unet() throws(UserError) -> UNetConfiguration
  func autoencoder() throws(UserError) -> AutoencoderConfiguration
  func scheduler() throws(UserError) -> SchedulerConfiguration
  /// The scheduler's own file, where it has one.
  var schedulerFile: URL? { get }

  /// Whether, of a model that reads pooled text, a negative prompt that is empty is told as zeros and not as the encoders' view of
  /// no text.
  var zeroesEmptyPrompt: Bool { get }

  /// A component's weights, under the names that diffusers and transformers give them.
  func weights(_ component: Component) throws(UserError) -> any WeightSource

  /// The tokenizer that a text encoder's token numbers come from.
  func tokenizer(_ component: Component) throws(UserError) -> CLIPTokenizer

  /// The SHA-256 of every file that decides what the model does, by a name that does not depend on where it lies.
  func sha256() throws(UserError) -> [String: String]
}

extension ModelSource {
  /// As diffusers and the web UIs do where nothing else is said.
  public var zeroesEmptyPrompt: Bool { true }

  /// The configurations of all parts. Each by itself is sound; whether they belong together `StableDiffusionModel` looks at.
  public func shape() throws(UserError) -> ModelShape {
    let unet = try unet()
    let autoencoder = try autoencoder()
    return ModelShape(
      name: name, textEncoder: try textEncoder(.textEncoder),
      textEncoder2: unet.added == nil ? nil : try textEncoder(.textEncoder2), unet: unet, autoencoder: autoencoder,
      scheduler: try scheduler(),
      resolution: unet.sampleSize * autoencoder.sizeMultiple)
  }
}

extension DiffusersFolder: ModelSource {
  public var name: String { url.lastPathComponent }
  public var location: URL? { url }
  public var schedulerFile: URL? { schedulerConfiguration }
  public var zeroesEmptyPrompt: Bool { forcesZerosForEmptyPrompt ?? true }

  public func textEncoder(_ component: Component) throws(UserError) -> CLIPTextConfiguration {
    try configuration(component)
  }

  public func unet() throws(UserError) -> UNetConfiguration { try configuration(.unet) }
  public func autoencoder() throws(UserError) -> AutoencoderConfiguration { try configuration(.vae) }

  public func scheduler() throws(UserError) -> SchedulerConfiguration {
    let scheduler = try SchedulerConfiguration(jsonFile: schedulerConfiguration)
    do throws(UserError) { _ = try NoiseSchedule(scheduler) } catch { throw error.at(.file(schedulerConfiguration)) }
    return scheduler
  }

  public func tokenizer(_ component: Component) throws(UserError) -> CLIPTokenizer {
    try CLIPTokenizer(folder: tokenizerFolder(component), warn: warn)
  }
}
