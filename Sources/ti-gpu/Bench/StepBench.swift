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
  /// The most that the pool took of the device, and what a dry run said it would.
  let reservedBytes: Int
  let plannedBytes: Int
  /// The plan in words.
  let plan: String
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
      "memory planned          \(plan)",
      "memory taken            \(MemoryUse.text(reservedBytes)), at most \(MemoryUse.text(peakBytes)) in use",
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
  private let plan: MemoryPlan
  private let sample: SampleStep<Timed<B>>
  private let loadSeconds: Double

  /// - Parameter budget: bytes that the step may take; by default nine tenths of the device's.
  init(backend: B, shape: ModelShape, resolution: Int, batchSize: Int, budget: Int?) throws {
    self.backend = backend
    let model = try StableDiffusionModel(RandomModel(shape))
    let size = StepSize(height: resolution, width: resolution, batch: batchSize)
    plan = try MemoryPlan(model, size, on: backend, budget: budget)
    let start = Date()
    let times = self.times
    sample = try SampleStep(model, size, keeping: plan.keeping) { Timed(backend, part: $0, times: times) }
    try backend.synchronize()
    loadSeconds = Date().timeIntervalSince(start)
  }

  /// Times `steps` steps after one that is not counted.
  func run(steps: Int) throws -> StepTiming {
    let first = try sample.run()
    let seconds = try (0..<steps).map { _ in try sample.run().seconds }.sorted()
    let memory = backend.memory
    times.isTaken = true
    _ = try sample.run()
    try times.end(on: backend)
    times.isTaken = false
    return StepTiming(
      stepMilliseconds: seconds[steps / 2] * 1000, firstStepMilliseconds: first.seconds * 1000,
      phases: times.phases.map { StepTiming.Phase(name: $0.name, milliseconds: $0.seconds * 1000) },
      loadSeconds: loadSeconds, peakBytes: memory.peakBytes, reservedBytes: memory.reservedBytes,
      plannedBytes: plan.memory.reservedBytes, plan: plan.line, loss: first.loss)
  }
}
