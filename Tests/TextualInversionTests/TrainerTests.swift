import Foundation
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// The step where 16-bit gradients overflow.
@Suite(.serialized) struct TrainerTests {
  /// The first step of a trace, from a loss scale of `scale`.
  private func step<B: Backend>(scale: Float, on backend: B) throws -> (result: StepResult, after: TrainingState) {
    let traced = try TracedTrainer("tiny-sd1", on: backend)
    let (trainer, trace) = (traced.trainer, traced.trace)
    trainer.state.lossScale = try JSONDecoder().decode(
      LossScale.self, from: Data(#"{"value": \#(scale), "goodSteps": 0, "adapts": true}"#.utf8))
    let result = try trainer.step([trace.batch(step: 0, microBatch: 0)], learningRate: trace.learningRate)
    return (result, trainer.state)
  }

  /// Forward alone, at PyTorch's own rows: the losses that PyTorch recorded (Tools/reference/replay.py), of either kind of
  /// prediction and of two encoders.
  @Test(arguments: TestBackends.float32, ["tiny-sd1", "tiny-sd2", "tiny-sdxl"])
  func theLossAloneIsPyTorchs(backend: TestBackend, model: String) throws {
    try backend.run { try expectPyTorchsLosses(model, on: $0) }
  }

  private func expectPyTorchsLosses<B: Backend>(_ model: String, on backend: B) throws {
    let traced = try TracedTrainer(model, on: backend)
    let (trainer, trace) = (traced.trainer, traced.trace)
    let start = trainer.state
    for (step, expected) in trace.expected.enumerated() {
      var loss = 0.0
      for microBatch in 0..<trace.accumulation {
        loss += try Double(trainer.loss(of: trace.batch(step: step, microBatch: microBatch)))
      }
      loss /= Double(trace.accumulation)
      #expect(abs(loss - expected.loss) <= 1e-5 * expected.loss, "step \(step): \(loss), not \(expected.loss)")
      for (encoder, rows) in expected.rows { trainer.state.parameters[ParameterName(encoder, "<new>")] = rows }
    }
    #expect(trainer.state.step == start.step && trainer.state.optimizer == start.optimizer)
    #expect(trace.expected.count >= 10)
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
