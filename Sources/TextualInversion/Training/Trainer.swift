import Operators
import StableDiffusion
import Tensors

/// Trains a word's embedding rows: the model is frozen, and the rows are all that moves.
///
/// Generic over the backend; the numbers are those of diffusers' `textual_inversion.py`.
public final class Trainer<B: Backend> {
  private let backend: B
  private let textEncoders: TextEncoders<B>
  private let unet: UNet<B>
  private let schedule: NoiseSchedule
  private let optimizer: any Optimizer
  private let largestRowNorm: Float

  /// Where training stands: the state after the last step that succeeded. Setting it starts the next step from there.
  public var state: TrainingState

  /// - Parameters:
  ///   - state: where training starts or goes on.
  ///   - largestRowNorm: a row longer than this has diverged, and the step that made it fails.
  public init(
    backend: B, textEncoders: TextEncoders<B>, unet: UNet<B>, schedule: NoiseSchedule, optimizer: any Optimizer,
    state: TrainingState, largestRowNorm: Float = .greatestFiniteMagnitude
  ) {
    self.backend = backend
    self.textEncoders = textEncoders
    self.unet = unet
    self.schedule = schedule
    self.optimizer = optimizer
    self.state = state
    self.largestRowNorm = largestRowNorm
  }

  /// One optimizer step over the mean gradient of `batches`.
  ///
  /// Where 16-bit gradients overflow, the same batches are run again at half the loss scale.
  /// - Throws: `UserError(.badData)` if loss, gradient or rows are no longer numbers, `OperationError` if the device
  ///   fails; `state` is then that of the step before.
  public func step(_ batches: [Batch], learningRate: Float) throws -> StepResult {
    let start = ContinuousClock.now
    var next = state
    next.step += 1
    let rows = try backend.upload(state.rows, as: .float32)
    var (loss, gradient) = try lossAndGradient(batches, rows: rows, scale: next.lossScale.value)
    while !loss.isFinite || !gradient.isFinite {
      guard next.lossScale.overflowed() else {
        throw UserError(
          .badData,
          "the loss or its gradient is no longer a number at step \(next.step): try a lower learning rate, "
            + "or --precision f32")
      }
      (loss, gradient) = try lossAndGradient(batches, rows: rows, scale: next.lossScale.value)
    }
    let usedScale = next.lossScale.value
    next.lossScale.succeeded()
    optimizer.update(
      &next.rows, gradient: gradient, state: &next.optimizer, step: next.step, learningRate: learningRate)
    // Written so that a norm that is no number fails too.
    if let norm = next.rows.rowNorms.first(where: { !($0 <= largestRowNorm) }) {
      throw UserError(
        .badData,
        "training diverges: after step \(next.step) a row's norm is \(norm), far beyond any word's; "
          + "try a lower learning rate")
    }
    state = next
    return StepResult(
      step: next.step, loss: loss, learningRate: learningRate, gradient: gradient.mean, rows: next.rows,
      lossScale: usedScale, seconds: start.secondsToNow)
  }

  /// The mean loss of the micro-batches and the gradient of the rows, unscaled.
  private func lossAndGradient(
    _ batches: [Batch], rows: Tensor<B.Storage>, scale: Float
  ) throws(OperationError) -> (loss: Float, gradient: RowGradient) {
    var losses: [Tensor<B.Storage>] = []
    var sum: Tensor<B.Storage>?
    var examples: [Tensor<B.Storage>] = []
    guard let embedding = textEncoders[.textEncoder]?.embedding else {
      throw OperationError(.unsupported, "Trainer.step", "no text encoder's rows are trained")
    }
    for batch in batches {
      let (loss, dEmbedded) = try forwardAndBackward(batch, rows: rows, scale: scale, share: 1 / Float(batches.count))
      func gradient(_ tokens: TokenBatch, addingTo sum: Tensor<B.Storage>?) throws(OperationError) -> Tensor<B.Storage>
      {
        try backend.backwardRows(
          embedding, dEmbedded, tokens, count: rows.shape[0], scale: 1 / scale, addingTo: sum)
      }
      losses.append(loss)
      sum = try gradient(batch.tokens, addingTo: sum)
      if optimizer.usesExamples {
        for example in 0..<batch.tokens.batch {
          examples.append(try gradient(batch.tokens.keeping(example), addingTo: nil))
        }
      }
    }
    guard let sum else { throw OperationError(.invalidShape, "Trainer.step", "a step needs a batch") }
    var gradient = RowGradient(try backend.download(sum))
    for example in examples { gradient.examples.append(try backend.download(example)) }
    var loss: Float = 0
    for tensor in losses { loss += try backend.download(tensor).values[0] }
    return (loss / Float(losses.count), gradient)
  }

  /// From a batch to its loss and to the gradient of what the text encoder reads, the whole way there and back.
  private func forwardAndBackward(
    _ batch: Batch, rows: Tensor<B.Storage>, scale: Float, share: Float
  ) throws(OperationError) -> (loss: Tensor<B.Storage>, dEmbedded: Tensor<B.Storage>) {
    let latents = try backend.upload(batch.latents, as: .float32)
    let noise = try backend.upload(batch.noise, as: .float32)
    let noisy = try backend.forward(
      schedule.noiseWeights(timesteps: batch.timesteps), latents, noise, as: backend.precision)
    let target =
      switch schedule.predictionType {
      case .epsilon: noise
      case .velocity:
        try backend.forward(schedule.velocityWeights(timesteps: batch.timesteps), noise, latents, as: .float32)
      }

    let (conditioning, textSaved) = try textEncoders.forward([batch.tokens], rows: [.textEncoder: rows])
    let (prediction, unetSaved) = try unet.forward(
      noisy, timesteps: batch.timesteps.map(Float.init), conditioning: conditioning)

    let error = MeanSquaredError()
    let loss = try backend.forward(error, prediction: prediction, target: target)
    let dPrediction = try backend.backwardInput(error, prediction: prediction, target: target, scale: scale * share)

    let dConditioning = try unet.backward(dPrediction, consume unetSaved)
    guard let dEmbedded = try textEncoders.backward(dConditioning, consume textSaved)[.textEncoder] else {
      throw OperationError(.unsupported, "Trainer.step", "the text encoder was not built to be differentiated")
    }
    return (loss, dEmbedded)
  }
}

extension TokenBatch {
  /// The same prompts, of which only one holds rows in training: the sum over the positions that hold a row is then that
  /// prompt's alone.
  fileprivate func keeping(_ prompt: Int) -> TokenBatch {
    TokenBatch(
      ids: ids.enumerated().map { $0.offset / length == prompt ? $0.element : 0 }, batch: batch, length: length)
  }
}

extension HostTensor {
  /// Whether every element is a number.
  var isFinite: Bool { values.allSatisfy(\.isFinite) }

  /// The Euclidean norm of every row.
  package var rowNorms: [Float] {
    let width = shape.channels
    guard width > 0 else { return [] }
    return stride(from: 0, to: values.count, by: width).map { start in
      values[start..<start + width].reduce(0) { $0 + $1 * $1 }.squareRoot()
    }
  }
}

extension ContinuousClock.Instant {
  /// Seconds from this instant to now.
  var secondsToNow: Double {
    let elapsed = duration(to: .now)
    return Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
  }
}
