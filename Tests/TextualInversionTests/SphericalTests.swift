import CPUBackend
import DemoModel
import ModelFiles
import Operators
import StableDiffusion
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// Spherical training's rule of update against PyTorch in double precision (Tools/reference/spherical.py), and what it stands on:
/// the gradient of each example by itself.
@Suite struct SphericalTests {
  @Test func updatesAreThoseOfTheEquations() throws {
    let file = try SafetensorsFile(Fixtures.url("spherical.safetensors"))
    let gradients = try file.tensor("gradients")
    let expected = try file.tensor("rows")
    let angle = try #require(file.metadata["angle"].flatMap(Float.init))
    let (steps, examples) = (gradients.shape[0], gradients.shape[1])
    let rule = Spherical()
    var rows = rule.initialRows(try file.tensor("initial"), vocabularyNorm: try file.tensor("norm").values[0])
    var state = rule.initialState(for: rows)
    let size = rows.shape.count
    func slice(_ tensor: HostTensor, _ index: Int) -> HostTensor {
      HostTensor(rows.shape, Array(tensor.values[index * size..<(index + 1) * size]))
    }
    for step in 0...steps {
      let largest = slice(expected, step).values.reduce(0) { max($0, abs($1)) }
      for (actual, expected) in zip(rows.values, slice(expected, step).values) {
        // Rows are rounded to 32 bits every step.
        #expect(abs(actual - expected) <= Float(step + 1) * 0x1p-23 * largest, "step \(step)")
      }
      guard step < steps else { break }
      let parts = (0..<examples).map { slice(gradients, step * examples + $0) }
      let factor = LearningRateSchedule.cosine.factor(step: step, steps: steps, warmup: 0)
      rule.update(
        &rows, gradient: RowGradient(parts[0], examples: parts), state: &state, step: step + 1,
        learningRate: Float(Double(angle) * factor))
    }
  }

  /// The gradients of a batch's examples add up to the batch's own, which replays hold against PyTorch; and each is what the
  /// example gives as a batch of its own, but for the mean over the batch.
  @Test(arguments: TestBackends.float32) func examplesAddUpToTheBatch(backend: TestBackend) throws {
    try backend.run { try checkExamples($0) }
  }

  private func checkExamples<B: Backend>(_ backend: B) throws {
    let model = try StableDiffusionModel(DiffusersFolder(DemoModel.model))
    let tokenizer = try model.tokenizer()
    let taught = try tokenizer.adding("<toy>", vectors: 2)
    let length = model.shape.positions
    let prompts = ["a photo of <toy>", "<toy> and <toy> on a red background", "a picture of a <toy>"]
    let seen = Recorder()
    let width = model.shape.textEncoders[0].width
    let rows = HostTensor([2, width], Philox(seed: 1, stream: 1).normals(2 * width).map { $0 * 0.05 })
    let layout = RowLayout(words: [try Placeholder("<toy>", vectors: 2)], encoders: [.textEncoder])
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: [.textEncoder: tokenizer.vocabularySize], trained: [.textEncoder])
    let trainer = Trainer(
      backend: backend, textEncoders: textEncoders,
      unet: try model.unet(on: backend, gradients: textEncoders.gradientNames), schedule: try model.noiseSchedule(),
      layout: layout,
      optimizer: seen,
      state: TrainingState(
        parameters: [ParameterName(.textEncoder, "<toy>"): rows], optimizer: seen, precision: .float32))
    let shape: Shape = [1, 8, 8, model.shape.unet.inputChannels]
    func batch(_ samples: Range<Int>) -> Batch {
      func draws(_ stream: UInt32) -> HostTensor {
        HostTensor(
          Shape([samples.count] + shape.dimensions.dropFirst()),
          samples.flatMap { Philox(seed: UInt64($0), stream: stream).normals(shape.count) })
      }
      return Batch(
        latents: draws(1), noise: draws(2), timesteps: samples.map { 100 + 250 * $0 },
        tokens: [
          TokenBatch(
            ids: samples.flatMap { taught.encode(prompts[$0], length: length).ids }, batch: samples.count,
            length: length)
        ])
    }
    _ = try trainer.step([batch(0..<3)], learningRate: 0)
    let whole = try #require(seen.gradients.value.last)
    #expect(whole.examples.count == 3)
    let scale = whole.mean.values.reduce(0) { max($0, abs($1)) }
    for index in whole.mean.values.indices {
      let sum = whole.examples.reduce(0) { $0 + $1.values[index] }
      #expect(abs(sum - whole.mean.values[index]) <= 8 * 0x1p-23 * scale)
    }
    for sample in 0..<3 {
      _ = try trainer.step([batch(sample..<sample + 1)], learningRate: 0)
      let alone = try #require(seen.gradients.value.last).mean
      let largest = alone.values.reduce(0) { max($0, abs($1)) }
      // PyTorch's own gradients of this model are 5.4e-5 apart between 32 and 64 bits (Tools/reference/README.md).
      for (a, b) in zip(alone.values, whole.examples[sample].values) {
        #expect(abs(a - 3 * b) <= 1.1e-4 * largest, "example \(sample)")
      }
    }
  }

  /// A row's length stays that of the model's words, whatever the gradients.
  @Test func lengthsStay() {
    var rows = Spherical().initialRows(HostTensor([2, 3], [3, 0, 4, 0, 0, 2]), vocabularyNorm: 0.5)
    var state = OptimizerState()
    for step in 1...100 {
      let gradient = HostTensor([2, 3], Philox(seed: 3, stream: 2, step: UInt32(step)).normals(6).map { $0 * 1e4 })
      Spherical().update(
        &rows, gradient: RowGradient(gradient, examples: [gradient]), state: &state, step: step, learningRate: 0.5)
      for norm in rows.rowNorms { #expect(abs(norm - 0.5) < 1e-6) }
    }
  }

  /// A rule that moves nothing and keeps what it was given.
  private struct Recorder: Optimizer {
    final class Box: @unchecked Sendable { var value: [RowGradient] = [] }
    let gradients = Box()
    var name: String { "recorder" }
    var usesExamples: Bool { true }
    func initialState(for rows: HostTensor) -> OptimizerState { OptimizerState() }
    func update(
      _ rows: inout HostTensor, gradient: RowGradient, state: inout OptimizerState, step: Int, learningRate: Float
    ) { gradients.value.append(gradient) }
  }
}
