import Operators
import StableDiffusion
import Tensors

/// A concept's batches: pictures in a fresh order every time round, a prompt, a time and noise for each.
///
/// Every draw comes from (seed, step) alone, so a resumed run needs no other state to go on as if never stopped.
public struct ConceptBatches: BatchSource {
  private let settings: TrainingSettings
  private let latents: LatentCache
  private let prompts: TrainingPrompts
  private let trainSteps: Int

  public init(settings: TrainingSettings, latents: LatentCache, schedule: NoiseSchedule, prompts: TrainingPrompts) {
    self.settings = settings
    self.latents = latents
    self.prompts = prompts
    trainSteps = schedule.steps
  }

  public func batch(step: Int, microBatch: Int) throws -> Batch {
    guard (0..<settings.steps).contains(step), (0..<settings.accumulation).contains(microBatch) else {
      throw UserError(.usage, "the run has no step \(step) with a batch \(microBatch)")
    }
    let seed = settings.seed
    let turn = step * settings.accumulation + microBatch
    let time = RandomStream.timesteps.generator(seed: seed, step: turn)
    let flip = RandomStream.flips.generator(seed: seed, step: turn)
    let pictures = (0..<settings.batchSize).map { pictureIndex(turn * settings.batchSize + $0) }
    guard let first = pictures.first.map({ latents.entries[$0].shape }) else {
      throw UserError(.usage, "a batch needs a picture")
    }
    guard pictures.allSatisfy({ latents.entries[$0].shape == first }) else {
      throw UserError(.badData, "the pictures of a batch are of several sizes", remedy: "bring them to one size")
    }
    let size = first.count
    let shape = Shape([settings.batchSize] + first.dimensions)
    let times = settings.loss.timesteps ?? 0..<trainSteps
    let posteriorNoise = RandomStream.posterior.generator(seed: seed, step: turn).normals(shape.count)

    var values: [Float] = []
    var timesteps: [Int] = []
    for sample in 0..<settings.batchSize {
      values += latents.sample(
        pictures[sample],
        mirrored: settings.flips && flip.integer(below: 2, at: sample) == 1,
        noise: Array(posteriorNoise[sample * size..<(sample + 1) * size]))
      timesteps.append(times.lowerBound + time.integer(below: times.count, at: sample))
    }
    return Batch(
      latents: HostTensor(shape, values),
      noise: noise(shape, turn: turn),
      timesteps: timesteps, tokens: prompts.tokens(pictures: pictures, seed: seed, turn: turn),
      cuts: pictures.map { latents.entries[$0].cut })
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

  /// The picture that draw number `draw` of the run shows: every picture once before any comes again.
  private func pictureIndex(_ draw: Int) -> Int {
    let order = RandomStream.pictureOrder.generator(seed: settings.seed, step: draw / latents.count)
    return order.permutation(latents.count)[draw % latents.count]
  }
}
