import Foundation
import Images
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// Makes pictures from prompts, with any learned words in them.
public final class Generator<B: Backend> {
  private let backend: B
  private let vaeBackend: B
  private let words: LearnedWords
  private let rows: [Component: Tensor<B.Storage>]
  private let model: StableDiffusionModel
  private let textEncoders: TextEncoders<B>
  private let unet: UNet<B>
  private let vae: AutoencoderKL<B>
  /// Side lengths must be multiples of this.
  public var sizeMultiple: Int { vae.configuration.sizeMultiple }
  /// The side that the model was made for, in pixels.
  public var nativeSide: Int { sizeMultiple * unet.configuration.sampleSize }

  /// Loads a model for generation.
  ///
  /// - Parameters:
  ///   - embeddings: learned words; a bare word stands for all its vectors, `word_1` for its second alone.
  ///   - makeBackend: a backend that stores as asked. The VAE has float32 unless its configuration says that less will do.
  ///   - shouldStop: asked between the model's parts; ends the work with `CancellationError`.
  /// - Throws: `UserError(.badData)`, with the word's file, if a word is in the vocabulary already or that of two files, holds
  ///   what is no number or does not fit the model.
  public init(
    model source: any ModelSource, embeddings: [EmbeddingFile], precision: ElementType,
    makeBackend: (ElementType) throws -> B,
    shouldStop: () -> Bool = { false }
  ) throws {
    let model = try StableDiffusionModel(source)
    var words = try LearnedWords(embeddings, of: model)
    self.model = model
    backend = try makeBackend(precision)
    let vaePrecision = model.shape.autoencoder.precision(beside: precision)
    vaeBackend = vaePrecision == precision ? backend : try makeBackend(vaePrecision)
    let backend = self.backend
    rows = try words.rows.mapValues { try backend.upload($0, as: .float32) }
    if shouldStop() { throw CancellationError() }
    textEncoders = try model.textEncoders(
      on: backend, vocabularies: words.vocabularies, tables: words.takeTables())
    self.words = words
    if shouldStop() { throw CancellationError() }
    unet = try model.unet(on: backend)
    if shouldStop() { throw CancellationError() }
    vae = try model.autoencoder(on: vaeBackend, parts: .decoder)
  }

  /// A generator of parts that are loaded already, with words that are known to fit.
  ///
  /// - Parameters:
  ///   - textEncoders: built for the vocabularies of `words`.
  ///   - vae: its decoder is enough.
  init(
    model: StableDiffusionModel, words: LearnedWords, textEncoders: TextEncoders<B>, unet: UNet<B>, on backend: B,
    vae: AutoencoderKL<B>, on vaeBackend: B
  ) throws {
    self.model = model
    self.words = words
    self.textEncoders = textEncoders
    self.unet = unet
    self.backend = backend
    self.vae = vae
    self.vaeBackend = vaeBackend
    rows = try words.rows.mapValues { try backend.upload($0, as: .float32) }
  }

  /// The latents' shape for a picture of the given settings, `[height, width, channels]`.
  public func latentShape(_ settings: GenerationSettings) throws(UserError) -> Shape {
    guard settings.width > 0, settings.height > 0, settings.width % sizeMultiple == 0,
      settings.height % sizeMultiple == 0
    else {
      throw UserError(
        .usage,
        "a picture of \(settings.width)x\(settings.height): this model makes sides that are multiples of "
          + "\(sizeMultiple)")
    }
    try model.shape.checkDrawing(width: settings.width, height: settings.height, on: vaeBackend)
    let factor = vae.configuration.sizeMultiple
    return [settings.height / factor, settings.width / factor, unet.configuration.inputChannels]
  }

  /// One picture.
  ///
  /// - Parameters:
  ///   - latents: `[height, width, channels]` of unit variance to start from; drawn from the seed where none are given.
  ///   - warn: told, a line each, where a prompt is cut, not used or odd, and where no prompt holds a learned word.
  ///   - progress: told each step once it is done.
  ///   - shouldStop: asked between steps; ends the work with `CancellationError`.
  /// - Throws: `UserError(.usage)` for settings that this model or this device can't draw; `.badData` for latents of
  ///   another shape, and for numbers, given or computed, that are none.
  public func picture(
    _ settings: GenerationSettings, latents given: HostTensor? = nil, warn: (String) -> Void = { _ in },
    progress: (Int) -> Void = { _ in }, shouldStop: () -> Bool = { false }
  ) throws -> Picture {
    let shape = try latentShape(settings)
    if let given, given.shape != shape || !given.isFinite {
      let fault = given.shape == shape ? "hold NaN or infinity" : "are \(given.shape), this picture takes \(shape)"
      throw UserError(.badData, "the latents given \(fault)")
    }
    var sampler = try model.sampler(settings.sampler, steps: settings.steps)
    let start =
      given?.values ?? RandomStream.initialLatents.generator(seed: settings.seed).normals(shape.count)
    var latents = start.map { $0 * sampler.initialNoiseScale }

    if shouldStop() { throw CancellationError() }
    let isGuided = settings.isGuided
    let samples = isGuided ? 2 : 1
    let text = words.prompts(settings)
    for warning in words.warnings + text.warnings + uses(settings).compactMap(\.warning) { warn(warning) }
    var conditioning = try textEncoders.conditioning(chunks: text.chunks, rows: rows, warn: warn)
    if isGuided, settings.negativePrompt.isEmpty, model.zeroesEmptyPrompt {
      conditioning = try textEncoders.silenced(conditioning, prompt: 0)
    }
    // A picture that is whole, as nobody cut one.
    conditioning.sizes = Array(
      repeating: PictureCut(height: settings.height, width: settings.width).numbers, count: samples)
    for index in sampler.timesteps.indices {
      if shouldStop() { throw CancellationError() }
      let input = sampler.scaledInput(latents, at: index)
      let sample = try backend.upload(
        HostTensor(Shape([samples] + shape.dimensions), (0..<samples).flatMap { _ in input }), as: backend.precision)
      let times = Array(repeating: sampler.timesteps[index], count: samples)
      let prediction = try unet.forward(
        sample, timesteps: times, conditioning: conditioning, keeping: .nothing
      ).prediction
      let output = try backend.download(prediction).values
      // Looked at by themselves: a sampler that clips would make numbers of them.
      guard output.allSatisfy(\.isFinite) else {
        throw notNumbers("the model's prediction at step \(index + 1)", backend.precision)
      }
      let guided = isGuided ? Self.guided(output, by: settings.guidance) : output
      latents = sampler.step(prediction: guided, at: index, latents: latents)
      guard latents.allSatisfy(\.isFinite) else {
        throw UserError(
          .badData, "the latents after step \(index + 1) are too large for numbers",
          remedy: "lower --guidance, now \(settings.guidance), or start from other latents")
      }
      progress(index + 1)
    }
    if shouldStop() { throw CancellationError() }
    return try decoded(HostTensor(Shape([1] + shape.dimensions), latents))
  }

  /// `u + guidance (c - u)` of an output whose first half is unconditional and whose second is conditional.
  private static func guided(_ output: [Float], by guidance: Float) -> [Float] {
    let half = output.count / 2
    return (0..<half).map { output[$0] + guidance * (output[half + $0] - output[$0]) }
  }

  /// The learned words, and where each stands in the settings' prompts.
  public func uses(_ settings: GenerationSettings) -> [WordUse] { words.uses(settings) }

  /// The device that draws.
  public var deviceName: String { backend.name }

  private func decoded(_ latents: HostTensor) throws -> Picture {
    let scale = vae.configuration.scalingFactor
    let unscaled = HostTensor(latents.shape, latents.values.map { $0 / scale })
    let pixels = try vaeBackend.download(vae.decode(vaeBackend.upload(unscaled, as: vaeBackend.precision)))
    guard pixels.values.allSatisfy(\.isFinite) else { throw notNumbers("the VAE's picture", vaeBackend.precision) }
    return Picture(pixels)
  }

  private func notNumbers(_ what: String, _ precision: ElementType) -> UserError {
    UserError(
      .badData, "\(what) holds NaN or infinity",
      remedy: precision == .float32
        ? "lower --guidance where it is high; else the weights or the word are not sound: fetch them again"
        : "try --precision f32: these numbers may be too large for 16 bits")
  }
}
