import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// Trains from a trace instead of pictures, and holds every step against what the trace expects.
public final class ReplayRun<B: Backend> {
  public let trace: ReplayTrace
  public let backend: B
  private let placeholder: String
  private let trainer: Trainer<B>

  /// Loads what trains, and the trace.
  ///
  /// - Throws: `UserError(.badData)` if the trace does not fit the model.
  public init(
    model: ModelFolder, trace file: URL, placeholder: String, backend: B
  ) throws {
    let model = try StableDiffusionModel(model)
    let tokenizer = try model.tokenizer()
    let schedule = try model.noiseSchedule()
    let text = model.shape.textEncoder
    trace = try ReplayTrace(
      file, width: text.width, channels: model.shape.unet.inputChannels,
      vocabulary: tokenizer.vocabularySize, length: text.positions, schedule: schedule)
    let word = try Placeholder(placeholder, vectors: trace.initialRows.shape[0])
    _ = try tokenizer.adding(word.word, vectors: word.vectors)
    self.placeholder = placeholder
    self.backend = backend
    trainer = try Trainer(
      backend: backend,
      textEncoder: model.textEncoder(on: backend, vocabulary: tokenizer.vocabularySize, differentiable: true),
      unet: model.unet(on: backend, differentiable: true), schedule: schedule, optimizer: trace.optimizer,
      state: TrainingState(rows: trace.initialRows, optimizer: trace.optimizer, precision: backend.precision))
  }

  /// Runs every step.
  ///
  /// - Parameter observe: told each step, and its errors where the trace has expectations.
  /// - Returns: the largest errors, where there are any to tell.
  public func run(observe: (StepResult, ReplayComparison?) throws -> Void) throws -> ReplayComparison? {
    var maximum = trace.expected.map { _ in ReplayComparison.none }
    for step in 0..<trace.steps {
      let result = try trainer.step(
        (0..<trace.accumulation).map { try trace.batch(step: step, microBatch: $0) },
        learningRate: trace.learningRate)
      let comparison = trace.expected.map { ReplayComparison(result, $0, accumulation: trace.accumulation) }
      if let comparison { maximum = maximum?.maximum(comparison) }
      try observe(result, comparison)
    }
    return maximum
  }

  /// The rows as the last step left them.
  public func embedding() -> EmbeddingFile { EmbeddingFile(word: placeholder, rows: trainer.state.rows) }
}
