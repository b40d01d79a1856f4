import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// Trains from a trace instead of pictures, and holds every step against what the trace expects.
public final class ReplayRun<B: Backend> {
  public let trace: ReplayTrace
  public let backend: B
  private let file: URL
  private let word: String
  private let layout: RowLayout
  private let trainer: Trainer<B>
  private let start: TrainingState

  /// Loads what trains, and the trace.
  ///
  /// - Parameter pooling: where a second text encoder takes its summary of the prompt; as the trace says, else at the end of
  ///   the text.
  /// - Throws: `UserError(.badData)` if the trace does not fit the model.
  public init(
    model source: any ModelSource, trace file: URL, placeholder: String, pooling: TextPooling? = nil, backend: B
  ) throws {
    let model = try StableDiffusionModel(source)
    let shape = model.shape
    let schedule = try model.noiseSchedule()
    var tokenizers: [CLIPTokenizer] = []
    var vocabularies: [Component: Int] = [:]
    var encoders: [ReplayTrace.Encoder] = []
    for (component, configuration) in shape.textComponents {
      let tokenizer = try model.tokenizer(component)
      let size = tokenizer.vocabularySize
      tokenizers.append(tokenizer)
      vocabularies[component] = size
      encoders.append(ReplayTrace.Encoder(component, width: configuration.width, vocabulary: size))
    }
    trace = try ReplayTrace(
      file, encoders: encoders,
      channels: shape.unet.inputChannels, length: shape.positions, schedule: schedule,
      pixels: shape.autoencoder.sizeMultiple)
    let word = try Placeholder(placeholder, vectors: trace.initialRows.values.first?.shape[0] ?? 1)
    for tokenizer in tokenizers { _ = try tokenizer.adding(word.word, vectors: word.vectors) }
    self.file = file
    self.word = word.word
    self.backend = backend
    layout = RowLayout(words: [word], encoders: encoders.map(\.component))
    var parameters: Parameters = [:]
    for (encoder, rows) in trace.initialRows { parameters[ParameterName(encoder, word.word)] = rows }
    start = TrainingState(parameters: parameters, optimizer: trace.optimizer, precision: backend.precision)
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: vocabularies, trained: layout.trained,
      pooling: pooling ?? trace.pooling ?? .endOfText)
    trainer = try Trainer(
      backend: backend, textEncoders: textEncoders,
      unet: model.unet(on: backend, gradients: textEncoders.gradientNames), schedule: schedule, layout: layout,
      optimizer: trace.optimizer, state: start)
  }

  /// Runs every step.
  ///
  /// - Parameter observe: told each step, and its errors where the trace has expectations.
  /// - Returns: the largest errors, where there are any to tell.
  /// - Throws: `UserError(.badData)` where a forced replay finds no expectations to start its steps from.
  public func run(
    _ mode: ReplayMode = .free, observe: (StepResult, ReplayComparison?) throws -> Void
  ) throws -> ReplayComparison? {
    guard mode == .free || !trace.expected.isEmpty else {
      throw UserError(.badData, at: .file(file), "the trace holds no rows and gradients to start each step from")
    }
    trainer.state = start
    var maximum = trace.expected.isEmpty ? nil : ReplayComparison.none
    for step in 0..<trace.steps {
      var forced = trainer.state
      let result: StepResult
      do {
        result = try trainer.step(
          (0..<trace.accumulation).map { try trace.batch(step: step, microBatch: $0) },
          learningRate: trace.learningRate)
      } catch let trouble as NumericalTrouble {
        throw trouble.giving()
      }
      var rows = result.parameters
      if mode == .forced {
        let expected = trace.expected[step]
        for name in layout.names {
          guard let gradient = expected.gradients[name.encoder], var updated = forced.parameters[name] else { continue }
          trace.optimizer.update(
            &updated, gradient: RowGradient(gradient), state: &forced.optimizer[name, default: OptimizerState()],
            step: result.step, learningRate: trace.learningRate)
          rows[name] = updated
          trainer.state.parameters[name] = expected.rows[name.encoder]
        }
        trainer.state.optimizer = forced.optimizer
      }
      let comparison =
        trace.expected.isEmpty
        ? nil
        : ReplayComparison(
          loss: result.loss, gradients: result.gradients.rows(of: word), rows: rows.rows(of: word),
          trace.expected[step])
      if let comparison { maximum = maximum?.maximum(comparison) }
      try observe(result, comparison)
    }
    return maximum
  }

  /// The rows as the last step left them; behind a forced replay they are the trace's.
  public func embedding() -> EmbeddingFile {
    EmbeddingFile(word: word, rows: trainer.state.parameters.rows(of: word))
  }
}
