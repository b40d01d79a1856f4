import ModelFiles
import Operators
import Tensors

/// A Stable Diffusion model that is known but not loaded: its sizes, and where its weights come from.
///
/// Its parts are loaded one by one, each on a backend of the caller's choice, and go when the caller lets go of them:
///
///     let model = try StableDiffusionModel(DiffusersFolder(url))
///     let moments = try model.autoencoder(on: backend).encode(pixels)  // the VAE's memory is free again
///     let unet = try model.unet(on: backend, gradients: [.context])
public struct StableDiffusionModel: Sendable {
  public let shape: ModelShape
  public let source: any ModelSource

  /// The model of a source. Its configurations are read and held against each other.
  public init(_ source: any ModelSource) throws(UserError) {
    let shape = try source.shape()
    self.shape = shape
    self.source = source
    let contextWidth = shape.textEncoders.reduce(0) { $0 + $1.width }
    guard shape.unet.contextWidth == contextWidth else {
      let writer = shape.textEncoders.count == 1 ? "the text encoder writes" : "the text encoders write"
      throw mismatch("the UNet reads text of width \(shape.unet.contextWidth), \(writer) \(contextWidth)")
    }
    if let added = shape.unet.added, let last = shape.textEncoders.last, added.pooledWidth != last.pooledWidth {
      throw mismatch(
        "the UNet takes pooled text of width \(added.pooledWidth), the second text encoder makes \(last.pooledWidth)")
    }
    guard shape.unet.inputChannels == shape.autoencoder.latentChannels else {
      throw mismatch(
        "the UNet takes latents of \(shape.unet.inputChannels) channels, the VAE makes "
          + "\(shape.autoencoder.latentChannels)")
    }
  }

  private func mismatch(_ problem: String, remedy: String? = nil) -> UserError {
    let error = UserError(.badData, problem, remedy: remedy)
    return source.location.map { error.at(.file($0)) } ?? error
  }

  /// The tokenizer of a text encoder, its prompts as long as both its own files and the encoder let them be.
  public func tokenizer(_ component: Component = .textEncoder) throws(UserError) -> CLIPTokenizer {
    let encoder = try textConfiguration(component)
    let tokenizer = try source.tokenizer(component)
    guard tokenizer.vocabularySize <= encoder.vocabularySize else {
      throw mismatch(
        "the tokenizer knows \(tokenizer.vocabularySize) tokens, the \(component.rawValue) \(encoder.vocabularySize)",
        remedy: "take the model as it was before tokens were added to it")
    }
    let positions = encoder.positions
    let fitting = tokenizer.fitting(positions: positions)
    if fitting.promptLength < positions {
      source.warn(
        "the tokenizer's model_max_length ends prompts at \(fitting.promptLength) places; the text encoder has \(positions)"
      )
    }
    return fitting
  }

  /// Whether a negative prompt that is empty is told as zeros.
  public var zeroesEmptyPrompt: Bool { shape.unet.added != nil && source.zeroesEmptyPrompt }

  private func textConfiguration(_ component: Component) throws(UserError) -> CLIPTextConfiguration {
    guard let part = shape.textComponents.first(where: { $0.component == component }) else {
      throw mismatch("the model has no \(component.rawValue)")
    }
    return part.configuration
  }

  /// - Parameters:
  ///   - vocabularies: the number of tokens that each encoder's tokenizer knows; ids from it on name rows given with each
  ///     call.
  ///   - tables: what `tokenTable` gave for an encoder, where that was asked for already.
  ///   - trained: the encoders whose rows are trained, and which are to be differentiated.
  ///   - pooling: where pooled text is taken, where the model takes any.
  public func textEncoders<B: Backend>(
    on backend: B, vocabularies: [Component: Int] = [:], tables: [Component: HostTensor] = [:],
    trained: Set<Component> = [],
    pooling: TextPooling = .endOfText
  ) throws -> TextEncoders<B> {
    let encoders = try zip(shape.textComponents, shape.textReadings(pooling: pooling)).map { part, reading in
      try TextEncoder(
        backend, part.configuration, weights: source.weights(part.component), table: tables[part.component],
        vocabulary: vocabularies[part.component], reading: reading, differentiable: trained.contains(part.component))
    }
    guard let first = encoders.first else { throw UserError(.badData, "the model has no text encoder") }
    return TextEncoders(backend, first, encoders.dropFirst().first)
  }

  /// - Parameter gradients: what `backward` is going to be asked for: the text encoders' `gradientNames`.
  public func unet<B: Backend>(on backend: B, gradients: Set<GradientName> = []) throws -> UNet<B> {
    try UNet(backend, shape.unet, weights: source.weights(.unet), gradients: gradients)
  }

  /// `backend` should be of `shape.autoencoder.precision(beside:)`.
  public func autoencoder<B: Backend>(
    on backend: B, parts: AutoencoderParts = .both
  ) throws -> AutoencoderKL<B> {
    try AutoencoderKL(backend, shape.autoencoder, weights: source.weights(.vae), parts: parts)
  }

  /// A sampler that takes `steps` steps through the model's noise. Nothing has to be loaded for it: whoever draws asks first.
  ///
  /// - Throws: `.usage` where the steps don't fit the model's schedule, `.badData`, with the scheduler's file, where that asks
  ///   for what the sampler can't do.
  public func sampler(_ kind: SamplerKind, steps: Int) throws(UserError) -> any Sampler {
    do throws(UserError) { return try kind.sampler(shape.scheduler, steps: steps) } catch {
      guard error.kind == .badData, let file = source.schedulerFile else { throw error }
      throw error.at(.file(file))
    }
  }

  public func noiseSchedule() throws(UserError) -> NoiseSchedule { try NoiseSchedule(shape.scheduler) }

  /// A text encoder's token table, `[vocabulary, width]`; `badData` where the model has no such encoder.
  public func tokenTable(_ component: Component = .textEncoder) throws(UserError) -> HostTensor {
    let encoder = try textConfiguration(component)
    return try source.weights(component).take(
      "text_model.embeddings.token_embedding.weight", [encoder.vocabularySize, encoder.width])
  }
}
