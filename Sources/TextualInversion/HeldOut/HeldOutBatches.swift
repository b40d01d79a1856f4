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
