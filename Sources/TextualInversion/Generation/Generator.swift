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
  private let schedulerConfiguration: SchedulerConfiguration
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
  /// - Throws: `UserError(.badData)` if a word is in the vocabulary already or does not fit the model.
  public init(
    model: ModelFolder, embeddings: [EmbeddingFile], precision: ElementType, makeBackend: (ElementType) throws -> B
  ) throws {
    let modelFiles = try StableDiffusionModel(model)
    let width = modelFiles.shape.textEncoder.width
    let plainTokenizer = try modelFiles.tokenizer()
    var tokenizer = plainTokenizer
    for embedding in embeddings {
      guard embedding.rows.shape.channels == width else {
        throw UserError(
          .badData,
          "'\(embedding.word)' was learned on another kind of model: its rows are "
            + "\(embedding.rows.shape.channels) wide, this model's \(width)")
      }
      let word = try Placeholder(embedding.word, vectors: embedding.rows.shape[0])
      tokenizer = try tokenizer.adding(word.word, vectors: word.vectors, shadowing: true)
    }
    self.tokenizer = tokenizer
    schedulerConfiguration = modelFiles.shape.scheduler
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
    unet = try modelFiles.unet(on: backend, differentiable: false)
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
    let factor = vae.configuration.sizeMultiple
    return [settings.height / factor, settings.width / factor, unet.configuration.inputChannels]
  }

  /// One picture.
  ///
  /// - Parameters:
  ///   - latents: `[height, width, channels]` of unit variance to start from; drawn from the seed where none are given.
  ///   - notice: told if a prompt is cut.
  ///   - progress: told each step once it is done.
  ///   - shouldStop: asked between steps; ends the work with `CancellationError`.
  public func picture(
    _ settings: GenerationSettings, latents given: HostTensor? = nil, notice: (String) -> Void = { _ in },
    progress: (Int) -> Void = { _ in }, shouldStop: () -> Bool = { false }
  ) throws -> Picture {
    let shape = try latentShape(settings)
    var sampler = try settings.sampler.sampler(schedulerConfiguration, steps: settings.steps)
    let start =
      given?.values ?? RandomStream.initialLatents.generator(seed: settings.seed).normals(shape.count)
    var latents = start.map { $0 * sampler.initialNoiseScale }

    let isGuided = settings.guidance != 1
    let prompts = isGuided ? [settings.negativePrompt, settings.prompt] : [settings.prompt]
    let context = try textEncoder.predict(tokens(prompts, notice: notice), rows: rows)
    for index in sampler.timesteps.indices {
      if shouldStop() { throw CancellationError() }
      let input = sampler.scaledInput(latents, at: index)
      let sample = try backend.upload(
        HostTensor(Shape([prompts.count] + shape.dimensions), prompts.flatMap { _ in input }), as: backend.precision)
      let times = Array(repeating: sampler.timesteps[index], count: prompts.count)
      let output = try backend.download(unet.predict(sample, timesteps: times, context: context)).values
      let prediction = isGuided ? Self.guided(output, by: settings.guidance) : output
      latents = sampler.step(prediction: prediction, at: index, latents: latents)
      progress(index + 1)
    }
    return try decoded(HostTensor(Shape([1] + shape.dimensions), latents))
  }

  /// `u + guidance (c - u)` of an output whose first half is unconditional and whose second is conditional.
  private static func guided(_ output: [Float], by guidance: Float) -> [Float] {
    let half = output.count / 2
    return (0..<half).map { output[$0] + guidance * (output[half + $0] - output[$0]) }
  }

  private func tokens(_ prompts: [String], notice: (String) -> Void) -> TokenBatch {
    let encoded = prompts.map { tokenizer.encode($0, length: textEncoder.configuration.positions) }
    for case let cut? in encoded.map(\.truncated) {
      notice("the prompt is longer than \(textEncoder.configuration.positions) tokens; this is left out: '\(cut)'")
    }
    return TokenBatch(
      ids: encoded.flatMap(\.ids), batch: prompts.count, length: textEncoder.configuration.positions)
  }

  private func decoded(_ latents: HostTensor) throws -> Picture {
    let scale = vae.configuration.scalingFactor
    let unscaled = HostTensor(latents.shape, latents.values.map { $0 / scale })
    return Picture(try vaeBackend.download(vae.decode(vaeBackend.upload(unscaled, as: vaeBackend.precision))))
  }
}
