import ModelFiles
import Operators
import StableDiffusion
import TestSupport
import Tensors

@testable import TextualInversion

/// The trainer of a model among the fixtures, before the first step of its trace.
struct TracedTrainer<B: Backend> {
  let model: StableDiffusionModel
  let trace: ReplayTrace
  let trainer: Trainer<B>

  static var word: String { "<new>" }

  /// - Parameters:
  ///   - optimizer: the rule of update; the trace's own unless another is given. It brings the trace's rows to where it starts from.
  ///   - beside: a second word, whose rows are behind the first one's and start as they are given.
  init(
    _ name: String, on backend: B, optimizer: (any Optimizer)? = nil,
    beside second: (word: String, rows: [Component: HostTensor])? = nil
  ) throws {
    let folder = Fixtures.url("models/\(name)")
    model = try StableDiffusionModel(DiffusersFolder(folder))
    let schedule = try model.noiseSchedule()
    let components = model.shape.textComponents
    var vocabularies: [Component: Int] = [:]
    for (component, _) in components { vocabularies[component] = try model.tokenizer(component).vocabularySize }
    trace = try ReplayTrace(
      folder.appendingPathComponent("replay.safetensors"),
      encoders: components.map {
        ReplayTrace.Encoder($0.component, width: $0.configuration.width, vocabulary: vocabularies[$0.component] ?? 0)
      },
      channels: model.shape.unet.inputChannels, length: model.shape.positions, schedule: schedule)
    let rule = optimizer ?? trace.optimizer
    var parameters: Parameters = [:]
    for (component, rows) in trace.initialRows {
      // The mean norm of the words that the tokenizer knows; the table may hold more.
      let norms = try model.tokenTable(component).rowNorms.prefix(vocabularies[component] ?? 0)
      parameters[ParameterName(component, Self.word)] = rule.initialRows(
        rows, vocabularyNorm: norms.reduce(0, +) / Float(norms.count))
    }
    for (component, rows) in second?.rows ?? [:] { parameters[ParameterName(component, second?.word ?? "")] = rows }
    let vectors = trace.initialRows.values.first?.shape[0] ?? 1
    let layout = RowLayout(
      words: try ([Self.word] + (second.map { [$0.word] } ?? [])).map { try Placeholder($0, vectors: vectors) },
      encoders: components.map(\.component))
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: vocabularies, trained: layout.trained, pooling: trace.pooling ?? .endOfText)
    trainer = try Trainer(
      backend: backend, textEncoders: textEncoders,
      unet: model.unet(on: backend, gradients: textEncoders.gradientNames), schedule: schedule, layout: layout,
      optimizer: rule, state: TrainingState(parameters: parameters, optimizer: rule, precision: backend.precision))
  }
}
