import Operators
import StableDiffusion
import Tensors

/// A concept's batches: pictures of one size, in a fresh order every time round (`PictureOrder`), a prompt, a time and noise
/// for each.
///
/// Every draw comes from (seed, step) alone, so a resumed run needs no other state to go on as if never stopped.
public struct ConceptBatches: BatchSource {
  private let settings: TrainingSettings
  private let latents: LatentCache
  private let prompts: TrainingPrompts
  private let order: PictureOrder
  private let trainSteps: Int
  private let negative: NegativePrompts?

  /// - Parameter repeats: how often each picture counts; once where nothing is said.
  public init(
    settings: TrainingSettings, latents: LatentCache, repeats: [Int] = [], schedule: NoiseSchedule,
    prompts: TrainingPrompts
  ) {
    self.settings = settings
    self.latents = latents
    self.prompts = prompts
    order = PictureOrder(
      sizes: latents.entries.map(\.shape), repeats: repeats, batchSize: settings.batchSize, seed: settings.seed)
    trainSteps = schedule.steps
    negative = settings.negativeWord.map {
      NegativePrompts(
        tokens: prompts.tokens(Array(repeating: $0.placeholder.word, count: settings.batchSize)),
        guidance: settings.negativeGuidance)
    }
  }

  public func batch(step: Int, microBatch: Int) throws -> Batch {
    guard (0..<settings.steps).contains(step), (0..<settings.accumulation).contains(microBatch) else {
      throw UserError(.usage, "the run has no step \(step) with a batch \(microBatch)")
    }
    let seed = settings.seed
    let turn = step * settings.accumulation + microBatch
    let time = RandomStream.timesteps.generator(seed: seed, step: turn)
    let flip = RandomStream.flips.generator(seed: seed, step: turn)
    let crop = RandomStream.crops.generator(seed: seed, step: turn)
    let pictures = order.pictures(turn: turn)
    guard let first = pictures.first.map({ latents.entries[$0].shape }) else {
      throw UserError(.usage, "a batch needs a picture")
    }
    let size = first.count
    let shape = Shape([settings.batchSize] + first.dimensions)
    let times = settings.loss.timesteps ?? 0..<trainSteps
    let posteriorNoise = RandomStream.posterior.generator(seed: seed, step: turn).normals(shape.count)

    var values: [Float] = []
    var timesteps: [Int] = []
    var cuts: [PictureCut] = []
    var weights: [[Float]?] = []
    for (sample, picture) in pictures.enumerated() {
      let views = latents.entries[picture].views
      let view = crop.integer(below: views.count, at: sample)
      cuts.append(views[view].cut)
      let isMirrored = settings.flips && flip.integer(below: 2, at: sample) == 1
      weights.append(latents.weights(picture, view: view, mirrored: isMirrored))
      values += latents.sample(
        picture, view: view, mirrored: isMirrored,
        noise: Array(posteriorNoise[sample * size..<(sample + 1) * size]))
      timesteps.append(times.lowerBound + time.integer(below: times.count, at: sample))
    }
    return Batch(
      latents: HostTensor(shape, values),
      noise: noise(shape, turn: turn),
      timesteps: timesteps, tokens: prompts.tokens(pictures: pictures, seed: seed, turn: turn), cuts: cuts,
      weights: Self.weights(weights, of: shape),
      negative: negative)
  }

  /// Normal noise, each channel of a sample shifted by the settings' share of one more number.
  private func noise(_ shape: Shape, turn: Int) -> HostTensor {
    let noise = HostTensor(shape, RandomStream.noise.generator(seed: settings.seed, step: turn).normals(shape.count))
    guard settings.loss.noiseOffset > 0 else { return noise }
    let (samples, channels) = (shape[0], shape.channels)
    let shifts = RandomStream.noiseOffset.generator(seed: settings.seed, step: turn).normals(samples * channels)
    let size = shape.count / max(1, samples)
    return HostTensor(
      shape,
      noise.values.enumerated().map { index, value in
        value + settings.loss.noiseOffset * shifts[index / size * channels + index % channels]
      })
  }

  /// `[batch, height, width, 1]` of the weights of each sample's latents; nil where all of them count in full.
  private static func weights(_ samples: [[Float]?], of latents: Shape) -> HostTensor? {
    guard samples.contains(where: { $0 != nil }) else { return nil }
    let shape = latents.withChannels(1)
    let full = [Float](repeating: 1, count: shape.count / max(1, samples.count))
    return HostTensor(shape, samples.flatMap { $0 ?? full })
  }
}
