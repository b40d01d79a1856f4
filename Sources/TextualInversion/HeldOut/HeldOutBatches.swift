import Operators
import StableDiffusion

/// What a word is measured on: the concept's own pictures, crops, noise and sentences, drawn once under a seed of their own.
///
/// Times lie in the range where pictures are decided by their text, 0.5 to 0.9 of the schedule (ZOODiP, CVPR 2025, arXiv 2503.14868,
/// draws them there), evenly spread so that few draws tell much.
struct HeldOutBatches {
  let batches: [Batch]

  /// - Parameters:
  ///   - settings: the run's.
  ///   - steps: the noise schedule's length.
  ///   - source: makes the batches of settings, as the run itself has them.
  init<Source: BatchSource>(_ settings: TrainingSettings, steps: Int, source: (TrainingSettings) -> Source) throws {
    let draws = settings.heldOut.draws
    guard draws > 0 else {
      batches = []
      return
    }
    var own = settings
    // "held-out" in ASCII.
    own.seed ^= 0x6865_6C64_2D6F_7574
    own.batchSize = min(settings.batchSize, draws)
    own.accumulation = 1
    own.loss = LossSettings()
    own.steps = (draws + own.batchSize - 1) / own.batchSize
    let source = source(own)
    var batches = try (0..<own.steps).map { try source.batch(step: $0, microBatch: 0) }
    let count = batches.reduce(0) { $0 + $1.timesteps.count }
    let order = RandomStream.timesteps.generator(seed: own.seed).permutation(count)
    var draw = 0
    for index in batches.indices {
      batches[index].timesteps = batches[index].timesteps.map { _ in
        defer { draw += 1 }
        return Self.timestep(stratum: order[draw], of: count, steps: steps)
      }
    }
    self.batches = batches
  }

  /// The middle of one of `count` equal parts of the range.
  static func timestep(stratum: Int, of count: Int, steps: Int) -> Int {
    Int(Double(steps) * (0.5 + 0.4 * (Double(stratum) + 0.5) / Double(count)))
  }

  /// What would be left of the loss if nothing were known of the pictures but the mean and the variance of their latents.
  ///
  /// Of latents that are independent normal numbers of variance s the noise is known up to a variance of a s / (a s + 1 - a), where a is the
  /// share of the picture in what is shown; the velocity up to 1 / a of that.
  /// Nil where places count differently.
  func uninformedLoss(_ schedule: NoiseSchedule) -> Float? {
    guard batches.allSatisfy({ $0.weights == nil }) else { return nil }
    var losses: [Double] = []
    for batch in batches {
      let size = batch.latents.values.count / max(1, batch.timesteps.count)
      for (example, timestep) in batch.timesteps.enumerated() where schedule.alphasCumulative.indices.contains(timestep)
      {
        let latents = batch.latents.values[example * size..<(example + 1) * size].map(Double.init)
        let mean = latents.reduce(0, +) / Double(max(1, size))
        let variance = latents.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(1, size))
        let a = schedule.alphasCumulative[timestep]
        let noise = a * variance / (a * variance + 1 - a)
        losses.append(schedule.predictionType == .velocity ? noise / a : noise)
      }
    }
    return Float(losses.reduce(0, +) / Double(max(1, losses.count)))
  }

  /// The mean loss under a trainer's rows as they stand.
  func loss<B: Backend>(by trainer: Trainer<B>) throws -> Float {
    var sum = 0.0
    var count = 0
    for batch in batches {
      sum += try Double(trainer.loss(of: batch)) * Double(batch.timesteps.count)
      count += batch.timesteps.count
    }
    return Float(sum / Double(max(1, count)))
  }
}
