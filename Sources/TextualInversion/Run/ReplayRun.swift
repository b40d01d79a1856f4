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
  private let placeholder: String
  private let trainer: Trainer<B>
  private let start: TrainingState

  /// Loads what trains, and the trace.
  ///
  /// - Throws: `UserError(.badData)` if the trace does not fit the model.
  public init(
    model source: any ModelSource, trace file: URL, placeholder: String, backend: B
  ) throws {
    let model = try StableDiffusionModel(source)
    let tokenizer = try model.tokenizer()
    let schedule = try model.noiseSchedule()
    let text = model.shape.textEncoder
    trace = try ReplayTrace(
      file, width: text.width, channels: model.shape.unet.inputChannels,
      vocabulary: tokenizer.vocabularySize, length: text.positions, schedule: schedule)
    let word = try Placeholder(placeholder, vectors: trace.initialRows.shape[0])
    _ = try tokenizer.adding(word.word, vectors: word.vectors)
    self.file = file
    self.placeholder = placeholder
    self.backend = backend
    start = TrainingState(rows: trace.initialRows, optimizer: trace.optimizer, precision: backend.precision)
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: [.textEncoder: tokenizer.vocabularySize], trained: [.textEncoder])
    trainer = try Trainer(
      backend: backend, textEncoders: textEncoders,
      unet: model.unet(on: backend, gradients: textEncoders.gradientNames), schedule: schedule,
      optimizer: trace.optimizer,
      state: start)
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
      throw UserError(.badData, "\(file.path): the trace holds no rows and gradients to start each step from")
    }
    trainer.state = start
    var maximum = trace.expected.isEmpty ? nil : ReplayComparison.none
    for step in 0..<trace.steps {
      var forced = trainer.state
      let result = try trainer.step(
        (0..<trace.accumulation).map { try trace.batch(step: step, microBatch: $0) },
        learningRate: trace.learningRate)
      var rows = result.rows
      if mode == .forced {
        let expected = trace.expected[step]
        trace.optimizer.update(
          &forced.rows, gradient: RowGradient(expected.gradient), state: &forced.optimizer, step: result.step,
          learningRate: trace.learningRate)
        rows = forced.rows
        trainer.state.optimizer = forced.optimizer
        trainer.state.rows = expected.rows
      }
      let comparison =
        trace.expected.isEmpty
        ? nil
        : ReplayComparison(
          loss: result.loss, gradient: result.gradient, rows: rows, trace.expected[step])
      if let comparison { maximum = maximum?.maximum(comparison) }
      try observe(result, comparison)
    }
    return maximum
  }

  /// The rows as the last step left them; behind a forced replay they are the trace's.
  public func embedding() -> EmbeddingFile {
    EmbeddingFile(word: placeholder, rows: [.textEncoder: trainer.state.rows])
  }
}
