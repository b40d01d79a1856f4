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
  private let tokenizer: CLIPTokenizer
  private let rows: Tensor<B.Storage>?
  private let words: [(word: Placeholder, ids: Range<Int32>)]
  private let shape: ModelShape
  private let textEncoder: TextEncoder<B>
  private let unet: UNet<B>
  private let vae: AutoencoderKL<B>
  /// Side lengths must be multiples of this.
  public let sizeMultiple: Int
  /// The side that the model was made for, in pixels.
  public let nativeSide: Int

  /// Loads a model for generation.
  ///
  /// - Parameters:
  ///   - embeddings: learned words; n vectors answer to `word word_1 ...`, and the bare word stands for them all.
  ///   - makeBackend: a backend that stores as asked. The VAE has float32 unless its configuration says that less will do.
  ///   - shouldStop: asked between the model's parts; ends the work with `CancellationError`.
  /// - Throws: `UserError(.badData)` if a word is in the vocabulary already, stands for no numbers or does not fit the model.
  public init(
    model: ModelFolder, embeddings: [EmbeddingFile], precision: ElementType, makeBackend: (ElementType) throws -> B,
    shouldStop: () -> Bool = { false }
  ) throws {
    let modelFiles = try StableDiffusionModel(model)
    let width = modelFiles.shape.textEncoder.width
    let plainTokenizer = try modelFiles.tokenizer()
    var tokenizer = plainTokenizer
    var words: [(word: Placeholder, ids: Range<Int32>)] = []
    for embedding in embeddings {
      try embedding.check()
      guard embedding.rows.shape.channels == width else {
        throw UserError(
          .badData,
          "'\(embedding.word)' was learned on another kind of model: its rows are "
            + "\(embedding.rows.shape.channels) wide, this model's \(width)")
      }
      let vectors = embedding.rows.shape[0]
      guard vectors <= tokenizer.promptLength - 2 else {
        throw UserError(
          .badData,
          "\(quoted(embedding.word)) has \(vectors) vectors; this model's prompts hold \(tokenizer.promptLength - 2)")
      }
      do throws(UserError) {
        let word = try Placeholder(embedding.word, vectors: vectors)
        let first = Int32(tokenizer.vocabularySize)
        tokenizer = try tokenizer.adding(word.word, vectors: vectors, shadowing: true)
        words.append((word, first..<Int32(tokenizer.vocabularySize)))
      } catch {
        throw UserError(.badData, error.problem, remedy: "give the file's word another name: --embedding FILE=WORD")
      }
    }
    self.tokenizer = tokenizer
    self.words = words
    shape = modelFiles.shape
    backend = try makeBackend(precision)
    let vaePrecision = modelFiles.shape.autoencoder.precision(beside: precision)
    vaeBackend = vaePrecision == precision ? backend : try makeBackend(vaePrecision)
    rows =
      embeddings.isEmpty
      ? nil
      : try backend.upload(
        HostTensor([embeddings.reduce(0) { $0 + $1.rows.shape[0] }, width], embeddings.flatMap(\.rows.values)),
        as: .float32)
    textEncoder = try modelFiles.textEncoder(
      on: backend, vocabulary: plainTokenizer.vocabularySize, differentiable: false)
    if shouldStop() { throw CancellationError() }
    unet = try modelFiles.unet(on: backend, differentiable: false)
    if shouldStop() { throw CancellationError() }
    vae = try modelFiles.autoencoder(on: vaeBackend)
    sizeMultiple = vae.configuration.sizeMultiple
    nativeSide = vae.configuration.sizeMultiple * unet.configuration.sampleSize
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
    try shape.checkDrawing(
      width: settings.width, height: settings.height, type: vaeBackend.precision, memory: vaeBackend.memory)
    let factor = vae.configuration.sizeMultiple
    return [settings.height / factor, settings.width / factor, unet.configuration.inputChannels]
  }

  /// One picture.
  ///
  /// - Parameters:
  ///   - latents: `[height, width, channels]` of unit variance to start from; drawn from the seed where none are given.
  ///   - warn: told, a line each, where a prompt is cut, is not used or holds no learned word.
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
    var sampler = try settings.sampler.sampler(self.shape.scheduler, steps: settings.steps)
    let start =
      given?.values ?? RandomStream.initialLatents.generator(seed: settings.seed).normals(shape.count)
    var latents = start.map { $0 * sampler.initialNoiseScale }

    if shouldStop() { throw CancellationError() }
    let isGuided = settings.isGuided
    let prompts = isGuided ? [settings.negativePrompt, settings.prompt] : [settings.prompt]
    let context = try textEncoder.predict(tokens(settings, warn: warn), rows: rows)
    for index in sampler.timesteps.indices {
      if shouldStop() { throw CancellationError() }
      let input = sampler.scaledInput(latents, at: index)
      let sample = try backend.upload(
        HostTensor(Shape([prompts.count] + shape.dimensions), prompts.flatMap { _ in input }), as: backend.precision)
      let times = Array(repeating: sampler.timesteps[index], count: prompts.count)
      let output = try backend.download(unet.predict(sample, timesteps: times, context: context)).values
      let prediction = isGuided ? Self.guided(output, by: settings.guidance) : output
      latents = sampler.step(prediction: prediction, at: index, latents: latents)
      guard latents.allSatisfy(\.isFinite) else {
        throw notNumbers("the model's prediction at step \(index + 1)", backend.precision)
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
  public func uses(_ settings: GenerationSettings) -> [WordUse] {
    let prompt = tokenizer.encode(settings.prompt).ids
    let negative = settings.isGuided ? tokenizer.encode(settings.negativePrompt).ids : []
    return words.map { word, ids in
      // The start has place 0.
      func places(_ tokens: [Int32]) -> [Int] { tokens.indices.filter { ids.contains(tokens[$0]) } }
      return WordUse(
        word: word.word, vectors: word.vectors, prompt: places(prompt), negativePrompt: places(negative))
    }
  }

  private func tokens(_ settings: GenerationSettings, warn: (String) -> Void) -> TokenBatch {
    var prompts = [("prompt", settings.prompt)]
    if settings.isGuided {
      prompts.insert(("negative prompt", settings.negativePrompt), at: 0)
    } else if !settings.negativePrompt.isEmpty {
      warn("the negative prompt is not used: with a guidance of \(settings.guidance) there is none")
    }
    let length = tokenizer.promptLength
    var ids: [Int32] = []
    for (name, prompt) in prompts {
      let encoded = tokenizer.encode(prompt)
      if let cut = encoded.truncated {
        warn("the \(name) is longer than \(length - 2) tokens; this is left out: '\(cut)'")
      }
      ids += encoded.ids
    }
    if !words.isEmpty, !uses(settings).contains(where: \.isUsed) {
      warn("no learned word is in the prompt: \(words.map(\.word.word).joined(separator: ", "))")
    }
    return TokenBatch(ids: ids, batch: prompts.count, length: length)
  }

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
      remedy: precision == .float16
        ? "try --precision f32 or bf16: these numbers may be too large for f16" : "are the model's weights sound?")
  }
}
