import Foundation
import ModelFiles
import Operators
import StableDiffusion
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// The step where 16-bit gradients overflow.
@Suite(.serialized) struct TrainerTests {
  /// The first step of a trace, from a loss scale of `scale`.
  private func step<B: Backend>(scale: Float, on backend: B) throws -> (result: StepResult, after: TrainingState) {
    let folder = Fixtures.url("models/tiny-sd1")
    let model = try StableDiffusionModel(DiffusersFolder(folder))
    let vocabulary = try model.tokenizer().vocabularySize
    let schedule = try model.noiseSchedule()
    let trace = try ReplayTrace(
      folder.appendingPathComponent("replay.safetensors"), width: model.shape.textEncoder.width,
      channels: model.shape.unet.inputChannels, vocabulary: vocabulary, length: model.shape.textEncoder.positions,
      schedule: schedule)
    var state = TrainingState(rows: trace.initialRows, optimizer: trace.optimizer, precision: .float16)
    state.lossScale = try JSONDecoder().decode(
      LossScale.self, from: Data(#"{"value": \#(scale), "goodSteps": 0, "adapts": true}"#.utf8))
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: [.textEncoder: vocabulary], trained: [.textEncoder])
    let trainer = try Trainer(
      backend: backend, textEncoders: textEncoders,
      unet: model.unet(on: backend, gradients: textEncoders.gradientNames), schedule: schedule,
      optimizer: trace.optimizer, state: state)
    let result = try trainer.step([trace.batch(step: 0, microBatch: 0)], learningRate: trace.learningRate)
    return (result, trainer.state)
  }

  /// With the loss times 2^24 its own gradient, 2^25 (prediction - target) / 512, is past the largest half, 65504: the step is taken
  /// again at half the scale until it fits, and then is the step that this smaller scale gives from the start, bit for bit. A
  /// scale that never comes near an overflow gives the same up to what halves lose below 2^-14.
  @Test(arguments: TestBackends.all(.float16)) func anOverflowIsRepeatedAtHalfTheScale(backend: TestBackend) throws {
    try backend.run { backend in
      let (result, after) = try step(scale: 0x1p24, on: backend)
      #expect(result.step == 1 && after.step == 1)
      #expect(result.lossScale < 0x1p24 && result.lossScale >= 0x1p16)
      #expect(after.lossScale.value == result.lossScale)
      let fitting = try step(scale: result.lossScale, on: backend)
      #expect(fitting.result.lossScale == result.lossScale)
      expectSameBits(result.gradient, fitting.result.gradient, "gradient")
      expectSameBits(result.rows, fitting.result.rows, "rows")
      #expect(result.loss == fitting.result.loss)
      let small = try step(scale: 0x1p10, on: backend)
      #expect(small.result.lossScale == 0x1p10)
      let largest = small.result.gradient.values.reduce(0) { max($0, abs($1)) }
      for (a, b) in zip(result.gradient.values, small.result.gradient.values) {
        #expect(a.isFinite && abs(a - b) <= 1e-2 * largest)
      }
    }
  }
}
