import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors
import TextualInversion

/// What a training step takes.
struct StepTiming: Encodable {
  /// The median over the timed steps, with the device's work in one go.
  let stepMilliseconds: Double
  /// The step before them, which builds kernels and settles the pool.
  let firstStepMilliseconds: Double
  /// One more step, with a wait where one phase follows another, in the order they first run.
  let phases: [Phase]
  /// Making the random weights and packing them.
  let loadSeconds: Double
  /// The most device memory in use at a time, weights and activations.
  let peakBytes: Int
  let loss: Float

  struct Phase: Encodable {
    /// Such as "UNet backward".
    let name: String
    let milliseconds: Double
  }

  /// The figures for a person.
  var lines: String {
    let head = [
      String(format: "training step           %10.1f ms  (first %.1f ms)", stepMilliseconds, firstStepMilliseconds),
      String(format: "peak memory             %10.2f GiB", Double(peakBytes) / Double(1 << 30)),
    ]
    let parts = phases.map {
      $0.name.padding(toLength: 24, withPad: " ", startingAt: 0) + String(format: "%10.1f ms", $0.milliseconds)
    }
    return (head + parts).joined(separator: "\n")
  }
}

/// A training step on a model of a known shape with random weights and random latents, as it runs once latents are cached.
final class StepBench<B: Backend> {
  private let backend: B
  private let times = PhaseTimes()
  private let trainer: Trainer<Timed<B>>
  private let batch: Batch
  private let loadSeconds: Double

  init(backend: B, shape: ModelShape, resolution: Int, batchSize: Int) throws {
    self.backend = backend
    let start = Date()
    let model = try StableDiffusionModel(RandomModel(shape))
    let times = self.times
    func timed(_ part: String) -> Timed<B> { Timed(backend, part: part, times: times) }
    let components = shape.textComponents
    let textEncoders = try model.textEncoders(
      on: timed("text encoder"), trained: Set(components.map(\.component)))
    let unet = try model.unet(on: timed("UNet"), gradients: textEncoders.gradientNames)
    try backend.synchronize()
    loadSeconds = Date().timeIntervalSince(start)

    let schedule = try model.noiseSchedule()
    let side = resolution / shape.autoencoder.sizeMultiple
    let latentShape: Shape = [batchSize, side, side, shape.unet.inputChannels]
    let random = Philox(seed: 0, stream: 0)
    let latents = HostTensor(latentShape, Philox(seed: 0, stream: 1).normals(latentShape.count))
    let noise = HostTensor(latentShape, Philox(seed: 0, stream: 2).normals(latentShape.count))
    let timesteps = (0..<batchSize).map { random.integer(below: schedule.steps, at: $0) }
    let tokens = components.map { Self.tokens($0.configuration, batchSize: batchSize) }
    batch = Batch(
      latents: latents, noise: noise, timesteps: timesteps, tokens: tokens,
      cuts: Array(repeating: PictureCut(height: resolution, width: resolution), count: batchSize))
    let word = try Placeholder("<word>", vectors: 1)
    var parameters: Parameters = [:]
    for (component, configuration) in components {
      parameters[ParameterName(component, word.word)] = HostTensor(
        [1, configuration.width], Philox(seed: 0, stream: 3).normals(configuration.width).map { $0 * 0.02 })
    }
    let optimizer = AdamW()
    trainer = Trainer(
      backend: timed("noise and loss"), textEncoders: textEncoders, unet: unet, schedule: schedule,
      layout: RowLayout(words: [word], encoders: components.map(\.component)), optimizer: optimizer,
      state: TrainingState(parameters: parameters, optimizer: optimizer, precision: backend.precision))
  }

  /// Random prompts with the word in training in each, and an end.
  private static func tokens(_ configuration: CLIPTextConfiguration, batchSize: Int) -> TokenBatch {
    let random = Philox(seed: 0, stream: 0)
    let (length, vocabulary) = (configuration.positions, configuration.vocabularySize)
    var ids = (0..<batchSize * length).map { Int32(random.integer(below: vocabulary, at: $0)) }
    for prompt in 0..<batchSize {
      ids[prompt * length + 5] = Int32(vocabulary)
      ids[(prompt + 1) * length - 1] = Int32(configuration.endOfText)
    }
    return TokenBatch(ids: ids, batch: batchSize, length: length)
  }

  /// Times `steps` steps after one that is not counted.
  func run(steps: Int) throws -> StepTiming {
    func step() throws -> StepResult { try trainer.step([batch], learningRate: 1e-3) }
    let first = try step()
    let seconds = try (0..<steps).map { _ in try step().seconds }.sorted()
    times.isTaken = true
    _ = try step()
    try times.end(on: backend)
    times.isTaken = false
    return StepTiming(
      stepMilliseconds: seconds[steps / 2] * 1000, firstStepMilliseconds: first.seconds * 1000,
      phases: times.phases.map { StepTiming.Phase(name: $0.name, milliseconds: $0.seconds * 1000) },
      loadSeconds: loadSeconds, peakBytes: backend.memory.peakBytes, loss: first.loss)
  }
}
