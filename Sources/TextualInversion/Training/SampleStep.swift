import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// Height and width of a step's pictures in pixels, and how many there are at once.
public struct StepSize: Sendable, Hashable {
  public let height: Int
  public let width: Int
  public let batch: Int
  /// Whether predictions are led away from a negative word's, which takes a second pass.
  public let isGuided: Bool

  public init(height: Int, width: Int, batch: Int, isGuided: Bool = false) {
    self.isGuided = isGuided
    self.height = height
    self.width = width
    self.batch = batch
  }
}

/// A training step on a model over made-up latents and prompts, as it runs once latents are cached: what a benchmark times, and what
/// a dry run asks a backend for.
public struct SampleStep<B: Backend> {
  private let trainer: Trainer<B>
  private let batch: Batch

  /// - Parameters:
  ///   - trained: the text encoders whose rows are trained; all of them by default.
  ///   - keeping: what the UNet keeps for the way back.
  ///   - isBlank: whether numbers are left out, for a dry run.
  ///   - backend: makes the backend of each part: "text encoder", "UNet", "noise and loss".
  public init(
    _ model: StableDiffusionModel, _ size: StepSize, trained: Set<Component>? = nil, keeping: UNetKeeping = .all,
    isBlank: Bool = false, on backend: (_ part: String) -> B
  ) throws {
    let shape = model.shape
    let components = shape.textComponents
    let textEncoders = try model.textEncoders(
      on: backend("text encoder"), trained: trained ?? Set(components.map(\.component)))
    let unet = try model.unet(on: backend("UNet"), gradients: textEncoders.gradientNames)

    let schedule = try model.noiseSchedule()
    let multiple = shape.autoencoder.sizeMultiple
    let latentShape: Shape = [size.batch, size.height / multiple, size.width / multiple, shape.unet.inputChannels]
    let random = Philox(seed: 0, stream: 0)
    func numbers(_ shape: Shape, stream: UInt32) -> HostTensor {
      isBlank ? .blank(shape) : HostTensor(shape, Philox(seed: 0, stream: stream).normals(shape.count))
    }
    let tokens = components.map { Self.tokens($0.configuration, batchSize: size.batch) }
    batch = Batch(
      latents: numbers(latentShape, stream: 1), noise: numbers(latentShape, stream: 2),
      timesteps: (0..<size.batch).map { random.integer(below: schedule.steps, at: $0) },
      tokens: tokens,
      cuts: Array(repeating: PictureCut(height: size.height, width: size.width), count: size.batch),
      negative: size.isGuided ? NegativePrompts(tokens: tokens, guidance: 3) : nil)
    let word = try Placeholder("<word>", vectors: 1)
    var parameters: Parameters = [:]
    for (component, configuration) in components {
      parameters[ParameterName(component, word.word)] = HostTensor(
        [1, configuration.width], Philox(seed: 0, stream: 3).normals(configuration.width).map { $0 * 0.02 })
    }
    let optimizer = AdamW()
    let last = backend("noise and loss")
    trainer = Trainer(
      backend: last, textEncoders: textEncoders, unet: unet, schedule: schedule,
      layout: RowLayout(words: [word], encoders: components.map(\.component), trained: trained), optimizer: optimizer,
      state: TrainingState(parameters: parameters, optimizer: optimizer, precision: last.precision), keeping: keeping)
  }

  /// Takes the step.
  public func run() throws -> StepResult { try trainer.step([batch], learningRate: 1e-3) }

  /// Random prompts with the word in training in each, and an end.
  private static func tokens(_ configuration: CLIPTextConfiguration, batchSize: Int) -> TokenBatch {
    let random = Philox(seed: 0, stream: 0)
    let (length, vocabulary) = (configuration.positions, configuration.vocabularySize)
    var ids = (0..<batchSize * length).map { Int32(random.integer(below: vocabulary, at: $0)) }
    for prompt in 0..<batchSize {
      ids[prompt * length + 5] = Int32(vocabulary)
      // A configuration may name one that no prompt can hold.
      ids[(prompt + 1) * length - 1] = Int32(exactly: configuration.endOfText) ?? 0
    }
    return TokenBatch(ids: ids, batch: batchSize, length: length)
  }
}
