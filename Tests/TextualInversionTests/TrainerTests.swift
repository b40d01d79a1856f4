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
    let schedule = try model.noiseSchedule()
    let vocabularies = [Component.textEncoder: try model.tokenizer().vocabularySize]
    let trace = try ReplayTrace(
      folder.appendingPathComponent("replay.safetensors"),
      encoders: model.shape.textComponents.map {
        ReplayTrace.Encoder($0.component, width: $0.configuration.width, vocabulary: vocabularies[$0.component] ?? 0)
      },
      channels: model.shape.unet.inputChannels, length: model.shape.positions, schedule: schedule)
    let layout = RowLayout(words: [try Placeholder("<new>", vectors: 1)], encoders: [.textEncoder])
    let name = ParameterName(.textEncoder, "<new>")
    var state = TrainingState(
      parameters: [name: try #require(trace.initialRows[.textEncoder])], optimizer: trace.optimizer, precision: .float16
    )
    state.lossScale = try JSONDecoder().decode(
      LossScale.self, from: Data(#"{"value": \#(scale), "goodSteps": 0, "adapts": true}"#.utf8))
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: vocabularies, trained: [.textEncoder])
    let trainer = try Trainer(
      backend: backend, textEncoders: textEncoders,
      unet: model.unet(on: backend, gradients: textEncoders.gradientNames), schedule: schedule, layout: layout,
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
      #expect(result.gradients.count == 1)
      for (name, gradient) in result.gradients {
        expectSameBits(gradient, try #require(fitting.result.gradients[name]), "gradient")
        expectSameBits(
          try #require(result.parameters[name]), try #require(fitting.result.parameters[name]), "rows")
      }
      #expect(result.loss == fitting.result.loss)
      let small = try step(scale: 0x1p10, on: backend)
      #expect(small.result.lossScale == 0x1p10)
      for (name, gradient) in result.gradients {
        let other = try #require(small.result.gradients[name]).values
        let largest = other.reduce(0) { max($0, abs($1)) }
        for (a, b) in zip(gradient.values, other) { #expect(a.isFinite && abs(a - b) <= 1e-2 * largest) }
      }
    }
  }
}
