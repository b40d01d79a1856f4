import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// Trains words' embedding rows: the model is frozen, and the rows are all that moves.
///
/// Generic over the backend; the numbers are those of diffusers' `textual_inversion.py`.
public final class Trainer<B: Backend> {
  private let backend: B
  private let textEncoders: TextEncoders<B>
  private let unet: UNet<B>
  private let schedule: NoiseSchedule
  private let layout: RowLayout
  private let optimizer: any Optimizer
  private let lossSettings: LossSettings
  private let largestRowNorm: [Component: Float]

  /// Where training stands: the state after the last step that succeeded. Setting it starts the next step from there.
  public var state: TrainingState

  /// - Parameters:
  ///   - layout: where the state's parameters stand among the rows that the encoders are given.
  ///   - state: where training starts or goes on.
  ///   - largestRowNorm: a row longer than this has diverged, and the step that made it fails.
  public init(
    backend: B, textEncoders: TextEncoders<B>, unet: UNet<B>, schedule: NoiseSchedule, layout: RowLayout,
    optimizer: any Optimizer, state: TrainingState, loss: LossSettings = LossSettings(),
    largestRowNorm: [Component: Float] = [:]
  ) {
    self.backend = backend
    self.textEncoders = textEncoders
    self.unet = unet
    self.schedule = schedule
    self.layout = layout
    self.optimizer = optimizer
    self.state = state
    lossSettings = loss
    self.largestRowNorm = largestRowNorm
  }

  /// One optimizer step over the mean gradient of `batches`.
  ///
  /// Where 16-bit gradients overflow, the same batches are run again at half the loss scale.
  /// - Throws: `NumericalTrouble` if loss, gradient or rows are no longer numbers, `OperationError` if the device
  ///   fails; `state` is then that of the step before.
  public func step(_ batches: [Batch], learningRate: Float) throws -> StepResult {
    let start = ContinuousClock.now
    var next = state
    next.step += 1
    let rows = try tables()
    let (meanLoss, gradients) = try finiteLossAndGradients(batches, rows: rows, scale: &next.lossScale, step: next.step)
    let usedScale = next.lossScale.value
    next.lossScale.succeeded()
    for (name, gradient) in lossSettings.maxGradientNorm.map(gradients.clipped(toNorm:)) ?? gradients {
      guard var rows = next.parameters[name] else { continue }
      optimizer.update(
        &rows, gradient: gradient, state: &next.optimizer[name, default: OptimizerState()], step: next.step,
        learningRate: learningRate)
      let largest = largestRowNorm[name.encoder] ?? .greatestFiniteMagnitude
      // Written so that a norm that is no number fails too.
      if let norm = rows.rowNorms.first(where: { !($0 <= largest) }) {
        throw NumericalTrouble(subject: .rows(norm: norm), step: next.step)
      }
      next.parameters[name] = rows
    }
    next.previous = TrainingSnapshot(parameters: state.parameters, optimizer: state.optimizer)
    next.recovery.succeeded(next.step)
    state = next
    return StepResult(
      step: next.step, loss: meanLoss, learningRate: learningRate, gradients: gradients.mapValues(\.mean),
      parameters: next.parameters, lossScale: usedScale, seconds: start.secondsToNow)
  }

  /// The squared error of a batch under the rows as they stand: forward alone, and nothing learns. It does not depend on how the
  /// loss that trains is taken.
  public func loss(of batch: Batch) throws -> Float {
    let (noisy, target) = try noised(batch)
    var conditioning = try textEncoders.predict(batch.tokens, rows: tables())
    conditioning.sizes = batch.cuts.map(\.numbers)
    let prediction = try unet.predict(
      noisy, timesteps: batch.timesteps.map(Float.init), conditioning: conditioning)
    let weights = try batch.weights.map { try backend.upload($0, as: .float32) }
    let loss = try backend.forward(PredictionLoss(), prediction: prediction, target: target, weights: weights)
    return try backend.download(loss).values[0]
  }

  /// The gradients of the mean loss of batches to the rows as they stand; nothing learns.
  func gradients(of batches: [Batch]) throws -> Parameters {
    var scale = state.lossScale
    return try finiteLossAndGradients(batches, rows: tables(), scale: &scale, step: state.step).gradients
      .mapValues(\.mean)
  }

  /// Each encoder's table of rows as they stand.
  private func tables() throws -> [Component: Tensor<B.Storage>] {
    var rows: [Component: Tensor<B.Storage>] = [:]
    for encoder in layout.encoders {
      rows[encoder] = try backend.upload(layout.table(encoder, of: state.parameters), as: .float32)
    }
    return rows
  }

  /// Loss and gradients, at half the loss scale after half the loss scale where 16-bit gradients overflow.
  private func finiteLossAndGradients(
    _ batches: [Batch], rows: [Component: Tensor<B.Storage>], scale: inout LossScale, step: Int
  ) throws -> (loss: Float, gradients: [ParameterName: RowGradient]) {
    while true {
      let (loss, gradients) = try lossAndGradients(batches, rows: rows, scale: scale.value)
      if loss.isFinite, gradients.values.allSatisfy(\.isFinite) { return (loss, gradients) }
      guard scale.overflowed() else { throw NumericalTrouble(subject: .loss, step: step) }
    }
  }

  /// The mean loss of the micro-batches and the gradients of what is trained, unscaled.
  private func lossAndGradients(
    _ batches: [Batch], rows: [Component: Tensor<B.Storage>], scale: Float
  ) throws -> (loss: Float, gradients: [ParameterName: RowGradient]) {
    var losses: [Tensor<B.Storage>] = []
    var sums: [Component: Tensor<B.Storage>] = [:]
    var examples: [Component: [Tensor<B.Storage>]] = [:]
    for batch in batches {
      let (loss, dEmbedded) = try forwardAndBackward(batch, rows: rows, scale: scale, share: 1 / Float(batches.count))
      losses.append(loss)
      for (encoder, tokens) in zip(layout.encoders, batch.tokens) where layout.trained.contains(encoder) {
        guard let dEmbedded = dEmbedded[encoder], let embedding = textEncoders[encoder]?.embedding else {
          throw OperationError(
            .unsupported, "Trainer.step", "the \(encoder.rawValue) was not built to be differentiated")
        }
        func gradient(_ tokens: TokenBatch, addingTo sum: Tensor<B.Storage>?) throws(OperationError) -> Tensor<
          B.Storage
        > {
          try backend.backwardRows(
            embedding, dEmbedded, tokens, count: layout.rowCount, scale: 1 / scale, addingTo: sum)
        }
        sums[encoder] = try gradient(tokens, addingTo: sums[encoder])
        if optimizer.usesExamples {
          for example in 0..<tokens.batch {
            examples[encoder, default: []].append(try gradient(tokens.keeping(example), addingTo: nil))
          }
        }
      }
    }
    guard !losses.isEmpty else { throw OperationError(.invalidShape, "Trainer.step", "a step needs a batch") }
    var gradients: [ParameterName: RowGradient] = [:]
    for (encoder, sum) in sums {
      for (name, mean) in layout.parameters(encoder, of: try backend.download(sum)) {
        gradients[name] = RowGradient(mean)
      }
      for example in examples[encoder] ?? [] {
        for (name, gradient) in layout.parameters(encoder, of: try backend.download(example)) {
          gradients[name]?.addExample(gradient)
        }
      }
    }
    var loss: Float = 0
    for tensor in losses { loss += try backend.download(tensor).values[0] }
    return (loss / Float(losses.count), gradients)
  }

  /// From a batch to its loss and to the gradient of what the text encoders read, the whole way there and back.
  private func forwardAndBackward(
    _ batch: Batch, rows: [Component: Tensor<B.Storage>], scale: Float, share: Float
  ) throws(OperationError) -> (loss: Tensor<B.Storage>, dEmbedded: [Component: Tensor<B.Storage>]) {
    let (noisy, target) = try noised(batch)
    var (conditioning, textSaved) = try textEncoders.forward(batch.tokens, rows: rows)
    conditioning.sizes = batch.cuts.map(\.numbers)
    let (prediction, unetSaved) = try unet.forward(
      noisy, timesteps: batch.timesteps.map(Float.init), conditioning: conditioning)

    let error = lossSettings.operation(timesteps: batch.timesteps, schedule: schedule)
    var weights: Tensor<B.Storage>?
    if let ofPlaces = lossSettings.weights(of: batch, schedule: schedule) {
      weights = try backend.upload(ofPlaces, as: .float32)
    }
    let mean = try backend.forward(error, prediction: prediction, target: target, weights: weights)
    let dPrediction = try backend.backwardInput(
      error, prediction: prediction, target: target, weights: weights, scale: scale * share)

    let dConditioning = try unet.backward(dPrediction, consume unetSaved)
    return (mean, try textEncoders.backward(dConditioning, consume textSaved))
  }

  /// What the UNet is shown of a batch, and what it is to say.
  private func noised(_ batch: Batch) throws(OperationError) -> (
    noisy: Tensor<B.Storage>, target: Tensor<B.Storage>
  ) {
    let latents = try backend.upload(batch.latents, as: .float32)
    let noise = try backend.upload(batch.noise, as: .float32)
    let noisy = try backend.forward(
      schedule.noiseWeights(timesteps: batch.timesteps), latents, noise, as: backend.precision)
    switch schedule.predictionType {
    case .epsilon: return (noisy, noise)
    case .velocity:
      let velocity = try backend.forward(
        schedule.velocityWeights(timesteps: batch.timesteps), noise, latents, as: .float32)
      return (noisy, velocity)
    }
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
