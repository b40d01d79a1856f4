import ModelFiles
import Operators
import StableDiffusion
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
    let model = try StableDiffusionModel(DiffusersFolder(folder))
    let schedule = try model.noiseSchedule()
    var vocabularies: [Component: Int] = [:]
    for (component, _) in model.shape.textComponents {
      vocabularies[component] = try model.tokenizer(component).vocabularySize
    }
    let trace = try ReplayTrace(
      folder.appendingPathComponent("replay.safetensors"),
      encoders: model.shape.textComponents.map {
        ReplayTrace.Encoder($0.component, width: $0.configuration.width, vocabulary: vocabularies[$0.component] ?? 0)
      },
      channels: model.shape.unet.inputChannels, length: model.shape.positions, schedule: schedule)
    let rule = Spherical()
    var parameters: Parameters = [:]
    for (component, rows) in trace.initialRows {
      // The mean norm of the words that the tokenizer knows; the table may hold more.
      let norms = try model.tokenTable(component).rowNorms.prefix(vocabularies[component] ?? 0)
      parameters[ParameterName(component, "<new>")] = rule.initialRows(
        rows, vocabularyNorm: norms.reduce(0, +) / Float(norms.count))
    }
    let vectors = try #require(parameters.values.first).shape[0]
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: vocabularies, trained: Set(vocabularies.keys), pooling: trace.pooling ?? .endOfText)
    let trainer = try Trainer(
      backend: backend, textEncoders: textEncoders,
      unet: model.unet(on: backend, gradients: textEncoders.gradientNames), schedule: schedule,
      layout: RowLayout(
        words: [Placeholder("<new>", vectors: vectors)], encoders: model.shape.textComponents.map(\.component)),
      optimizer: rule, state: TrainingState(parameters: parameters, optimizer: rule, precision: .float32))
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
