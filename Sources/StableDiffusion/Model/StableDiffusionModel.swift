import Foundation
import ModelFiles
import Operators
import Tensors

/// A Stable Diffusion model on disk, whose parts are loaded one by one as they are needed: the VAE can be used and dropped
/// before the UNet is there.
public struct StableDiffusionModel: Sendable {
  public let folder: ModelFolder

  public init(_ folder: ModelFolder) { self.folder = folder }

  /// The components' names in the folder.
  private enum Component {
    static let textEncoder = "text_encoder"
    static let unet = "unet"
    static let autoencoder = "vae"
    static let scheduler = "scheduler"
  }

  public func tokenizer() throws(UserError) -> CLIPTokenizer { try CLIPTokenizer(folder: folder.tokenizer) }

  public func schedulerConfiguration() throws(UserError) -> SchedulerConfiguration {
    try folder.configuration(Component.scheduler, as: SchedulerConfiguration.self)
  }

  public func noiseSchedule() throws(UserError) -> NoiseSchedule { try NoiseSchedule(schedulerConfiguration()) }

  public func textConfiguration() throws(UserError) -> CLIPTextConfiguration {
    try folder.configuration(Component.textEncoder, as: CLIPTextConfiguration.self)
  }

  public func unetConfiguration() throws(UserError) -> UNetConfiguration {
    try folder.configuration(Component.unet, as: UNetConfiguration.self)
  }

  public func autoencoderConfiguration() throws(UserError) -> AutoencoderConfiguration {
    try folder.configuration(Component.autoencoder, as: AutoencoderConfiguration.self)
  }

  public func textEncoder<B: Backend>(_ backend: B, differentiable: Bool) throws -> TextEncoder<B> {
    try TextEncoder(
      backend, textConfiguration(), weights: folder.weights(Component.textEncoder), differentiable: differentiable)
  }

  public func unet<B: Backend>(_ backend: B, differentiable: Bool) throws -> UNet<B> {
    try UNet(backend, unetConfiguration(), weights: folder.weights(Component.unet), differentiable: differentiable)
  }

  public func autoencoder<B: Backend>(_ backend: B) throws -> AutoencoderKL<B> {
    try AutoencoderKL(backend, autoencoderConfiguration(), weights: folder.weights(Component.autoencoder))
  }

  /// The side of the pictures that the model was made for, in pixels.
  public func nativeSide() throws(UserError) -> Int {
    try unetConfiguration().sampleSize * autoencoderConfiguration().sizeMultiple
  }

  /// Rows of the token table for the tokens of `phrase`, taken in turn until there are `count`: `[count, width]`.
  ///
  /// - Throws: `UserError(.usage)` if the phrase has no token.
  public func tokenRows(_ phrase: String, count: Int) throws(UserError) -> HostTensor {
    let tokens = try tokenizer().tokens(phrase)
    guard !tokens.isEmpty else { throw UserError(.usage, "the initializer '\(phrase)' has no token: name a word") }
    let configuration = try textConfiguration()
    let width = configuration.width
    let table = try folder.weights(Component.textEncoder).take(
      "text_model.embeddings.token_embedding.weight", [configuration.vocabularySize, width])
    let rows = (0..<count).flatMap { row in
      let token = Int(tokens[row % tokens.count])
      return table.values[token * width..<(token + 1) * width]
    }
    return HostTensor([count, width], rows)
  }
}
