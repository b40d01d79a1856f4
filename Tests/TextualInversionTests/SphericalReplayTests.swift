import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// Spherical training from draws to rows against PyTorch in double precision, whose gradients of single examples come from autograd, one
/// example at a time (Tools/reference/spherical_replay.py). Two micro-batches a step, and two text encoders, are among the models.
@Suite(.serialized) struct SphericalReplayTests {
  @Test(arguments: ["tiny-sd1", "tiny-odd", "tiny-sdxl-v"], TestBackends.float32)
  func stepsAreThoseOfPyTorch(name: String, backend: TestBackend) throws {
    try backend.run { try check(name, on: $0) }
  }

  private func check<B: Backend>(_ name: String, on backend: B) throws {
    let folder = Fixtures.url("models/\(name)")
    let expected = try SafetensorsFile(folder.appendingPathComponent("replay-spherical.safetensors"))
    let angle = try #require(expected.metadata["angle"].flatMap(Double.init))
    let traced = try TracedTrainer(name, on: backend, optimizer: Spherical())
    let (trainer, trace) = (traced.trainer, traced.trace)
    try expectRows(of: trainer.state, expected, step: 0)
    for step in 0..<trace.steps {
      let factor = LearningRateSchedule.cosine.factor(step: step, steps: trace.steps, warmup: 0)
      let result = try trainer.step(
        (0..<trace.accumulation).map { try trace.batch(step: step, microBatch: $0) },
        learningRate: Float(angle * factor))
      let loss = try expected.tensor("losses").values[step]
      #expect(abs(result.loss - loss) <= 1e-5 * loss, "loss of step \(step)")
      try expectRows(of: trainer.state, expected, step: step + 1)
    }
  }

  private func expectRows(of state: TrainingState, _ expected: SafetensorsFile, step: Int) throws {
    for (name, rows) in state.parameters {
      let all = try expected.tensor(name.encoder == .textEncoder2 ? "rows_2" : "rows")
      let size = rows.shape.count
      let values = all.values[step * size..<(step + 1) * size]
      let largest = values.reduce(0) { max($0, abs($1)) }
      #expect(values.count == size && largest > 0)
      for (a, b) in zip(rows.values, values) {
        #expect(abs(a - b) <= 1e-5 * largest, "\(name) after step \(step)")
      }
    }
  }
}
