import ModelFiles
import Operators
import Tensors

/// A Stable Diffusion model that is known but not loaded: its sizes, and where its weights come from.
///
/// Its parts are loaded one by one, each on a backend of the caller's choice, and go when the caller lets go of them:
///
///     let model = try StableDiffusionModel(ModelFolder(url))
///     let moments = try model.autoencoder(on: backend).encode(pixels)  // the VAE's memory is free again
///     let unet = try model.unet(on: backend, gradients: [.context])
public struct StableDiffusionModel: Sendable {
  public let shape: ModelShape
  /// The folder, nil for a model of random weights.
  public let folder: ModelFolder?

  private let seed: UInt64

  /// The model in `folder`, in diffusers' layout. Its configurations are read and held against each other.
  public init(_ folder: ModelFolder) throws(UserError) {
    let textEncoder = try folder.configuration("text_encoder", as: CLIPTextConfiguration.self)
    let unet = try folder.configuration("unet", as: UNetConfiguration.self)
    let textEncoder2 =
      unet.added == nil
      ? nil : try folder.configuration(Component.textEncoder2.rawValue, as: CLIPTextConfiguration.self)
    let autoencoder = try folder.configuration("vae", as: AutoencoderConfiguration.self)
    let contextWidth = textEncoder.width + (textEncoder2?.width ?? 0)
    guard unet.contextWidth == contextWidth else {
      let writer = textEncoder2 == nil ? "the text encoder writes" : "the text encoders write"
      throw UserError(
        .badData, at: .file(folder.url), "the UNet reads text of width \(unet.contextWidth), \(writer) \(contextWidth)")
    }
    if let added = unet.added, let textEncoder2, added.pooledWidth != textEncoder2.pooledWidth {
      throw UserError(
        .badData, at: .file(folder.url),
        "the UNet takes pooled text of width \(added.pooledWidth), the second text encoder makes "
          + "\(textEncoder2.pooledWidth)")
    }
    guard unet.inputChannels == autoencoder.latentChannels else {
      throw UserError(
        .badData, at: .file(folder.url),
        "the UNet takes latents of \(unet.inputChannels) channels, the VAE makes \(autoencoder.latentChannels)")
    }
    let scheduler = try folder.configuration("scheduler", as: SchedulerConfiguration.self)
    do throws(UserError) { _ = try NoiseSchedule(scheduler) } catch {
      throw error.at(.file(folder.configuration("scheduler")))
    }
    shape = ModelShape(
      name: folder.url.lastPathComponent, textEncoder: textEncoder, textEncoder2: textEncoder2, unet: unet,
      autoencoder: autoencoder,
      scheduler: scheduler,
      resolution: unet.sampleSize * autoencoder.sizeMultiple)
    self.folder = folder
    seed = 0
  }

  /// A model of the given sizes with random weights, for measuring. It has no tokenizer.
  public init(random shape: ModelShape, seed: UInt64 = 0) {
    self.shape = shape
    folder = nil
    self.seed = seed
  }

  /// The folder's tokenizer, its prompts as long as both its own files and the text encoder let them be.
  public func tokenizer() throws(UserError) -> CLIPTokenizer {
    guard let folder else { throw UserError(.usage, "a model of random weights has no tokenizer; name a model folder") }
    let tokenizer = try CLIPTokenizer(folder: folder.tokenizer, warn: folder.warn)
    guard tokenizer.vocabularySize <= shape.textEncoder.vocabularySize else {
      throw UserError(
        .badData, at: .file(folder.url),
        "the tokenizer knows \(tokenizer.vocabularySize) tokens, the text encoder \(shape.textEncoder.vocabularySize)",
        remedy: "take the model as it was before tokens were added to it")
    }
    let positions = shape.textEncoder.positions
    let fitting = tokenizer.fitting(positions: positions)
    if fitting.promptLength < positions {
      folder.warn(
        "the tokenizer's model_max_length ends prompts at \(fitting.promptLength) places; the text encoder has \(positions)"
      )
    }
    return fitting
  }

  /// - Parameters:
  ///   - vocabularies: the number of tokens that each encoder's tokenizer knows; ids from it on name rows given with each
  ///     call.
  ///   - trained: the encoders whose rows are trained, and which are to be differentiated.
  ///   - pooling: where pooled text is taken, where the model takes any.
  public func textEncoders<B: Backend>(
    on backend: B, vocabularies: [Component: Int] = [:], trained: Set<Component> = [],
    pooling: TextPooling = .endOfText
  ) throws -> TextEncoders<B> {
    let encoders = try zip(shape.textComponents, shape.textReadings(pooling: pooling)).map { part, reading in
      try TextEncoder(
        backend, part.configuration, weights: weights(part.component.rawValue),
        vocabulary: vocabularies[part.component], reading: reading, differentiable: trained.contains(part.component))
    }
    guard let first = encoders.first else { throw UserError(.badData, "the model has no text encoder") }
    return TextEncoders(backend, first, encoders.dropFirst().first)
  }

  /// - Parameter gradients: what `backward` is going to be asked for: the text encoders' `gradientNames`.
  public func unet<B: Backend>(on backend: B, gradients: Set<GradientName> = []) throws -> UNet<B> {
    try UNet(backend, shape.unet, weights: weights("unet"), gradients: gradients)
  }

  /// `backend` should be of `shape.autoencoder.precision(beside:)`.
  public func autoencoder<B: Backend>(on backend: B) throws -> AutoencoderKL<B> {
    try AutoencoderKL(backend, shape.autoencoder, weights: weights("vae"))
  }

  /// A sampler that takes `steps` steps through the model's noise. Nothing has to be loaded for it: whoever draws asks first.
  ///
  /// - Throws: `.usage` where the steps don't fit the model's schedule, `.badData`, with the scheduler's file, where that asks
  ///   for what the sampler can't do.
  public func sampler(_ kind: SamplerKind, steps: Int) throws(UserError) -> any Sampler {
    do throws(UserError) { return try kind.sampler(shape.scheduler, steps: steps) } catch {
      guard error.kind == .badData, let folder else { throw error }
      throw error.at(.file(folder.configuration("scheduler")))
    }
  }

  public func noiseSchedule() throws(UserError) -> NoiseSchedule { try NoiseSchedule(shape.scheduler) }

  /// A text encoder's token table, `[vocabulary, width]`; `badData` where the model has no such encoder.
  public func tokenTable(_ component: Component = .textEncoder) throws(UserError) -> HostTensor {
    guard let encoder = shape.textComponents.first(where: { $0.component == component })?.configuration else {
      throw UserError(.badData, "the model has no \(component.rawValue)")
    }
    return try weights(component.rawValue).take(
      "text_model.embeddings.token_embedding.weight", [encoder.vocabularySize, encoder.width])
  }

  /// A component's weights.
  public func weights(_ component: String) throws(UserError) -> any WeightSource {
    if let folder { return try folder.weights(component) }
    return RandomWeights(seed: seed)
  }
}
