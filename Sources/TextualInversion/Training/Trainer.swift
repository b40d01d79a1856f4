import Operators
import StableDiffusion
import Tensors

/// Trains a word's embedding rows: the model is frozen, and the rows are all that moves.
///
/// Generic over the backend; the numbers are those of diffusers' `textual_inversion.py`.
public final class Trainer<B: Backend> {
  private let backend: B
  private let textEncoder: TextEncoder<B>
  private let unet: UNet<B>
  private let schedule: NoiseSchedule
  private let optimizer: AdamW

  private let rows: Tensor<B.Storage>
  private let moments: AdamW.Moments<B.Storage>
  private var stepsDone: Int
  private var lossScale: LossScale

  /// - Parameter state: where training starts or goes on.
  public init(
    backend: B, textEncoder: TextEncoder<B>, unet: UNet<B>, schedule: NoiseSchedule, optimizer: AdamW,
    state: TrainingState
  ) throws(OperationError) {
    self.backend = backend
    self.textEncoder = textEncoder
    self.unet = unet
    self.schedule = schedule
    self.optimizer = optimizer
    rows = try backend.upload(state.rows, as: .float32)
    moments = AdamW.Moments(
      first: try backend.upload(state.firstMoment, as: .float32),
      second: try backend.upload(state.secondMoment, as: .float32))
    stepsDone = state.step
    lossScale = state.lossScale
  }

  /// All that a checkpoint needs.
  public func state() throws(OperationError) -> TrainingState {
    TrainingState(
      rows: try backend.download(rows), firstMoment: try backend.download(moments.first),
      secondMoment: try backend.download(moments.second), step: stepsDone, lossScale: lossScale)
  }

  /// One optimizer step over the mean gradient of `batches`.
  ///
  /// Where 16-bit gradients overflow, the same batches are run again at half the loss scale.
  /// - Parameter phase: told each time a phase's work has been queued; a benchmark waits there and reads its clock.
  /// - Throws: `UserError` if the loss is no longer a number, `OperationError` if the device fails.
  public func step(
    _ batches: [Batch], learningRate: Float, phase: (TrainingPhase) throws(OperationError) -> Void = { _ in }
  ) throws -> StepResult {
    let start = ContinuousClock.now
    while true {
      let (losses, gradient) = try accumulate(batches, phase: phase)
      let hostGradient = try backend.download(gradient)
      let loss = try losses.reduce(0) { try $0 + backend.download($1).values[0] } / Float(losses.count)
      guard hostGradient.values.allSatisfy(\.isFinite), loss.isFinite else {
        if lossScale.overflowed() { continue }
        throw UserError(
          .badData,
          "the loss or its gradient is no longer a number at step \(stepsDone + 1): try a lower learning rate, "
            + "or --precision f32")
      }
      let usedScale = lossScale.value
      lossScale.succeeded()
      stepsDone += 1
      try backend.update(
        optimizer, rows: rows, gradient: gradient, moments: moments, step: stepsDone, learningRate: learningRate)
      try phase(.update)
      return StepResult(
        step: stepsDone, loss: loss, learningRate: learningRate, gradient: hostGradient,
        rows: try backend.download(rows), lossScale: usedScale, seconds: start.secondsToNow)
    }
  }

  /// The losses of the micro-batches and the mean gradient of the rows, unscaled.
  private func accumulate(
    _ batches: [Batch], phase: (TrainingPhase) throws(OperationError) -> Void
  ) throws(OperationError) -> (losses: [Tensor<B.Storage>], gradient: Tensor<B.Storage>) {
    var losses: [Tensor<B.Storage>] = []
    var sum: Tensor<B.Storage>?
    for batch in batches {
      let (loss, gradient) = try forwardAndBackward(batch, share: 1 / Float(batches.count), addingTo: sum, phase: phase)
      losses.append(loss)
      sum = gradient
    }
    guard let gradient = sum else { throw OperationError(.invalidShape, "Trainer.step", "a step needs a batch") }
    return (losses, gradient)
  }

  /// From a batch to its share of the rows' gradient, the whole way there and back.
  private func forwardAndBackward(
    _ batch: Batch, share: Float, addingTo sum: Tensor<B.Storage>?,
    phase: (TrainingPhase) throws(OperationError) -> Void
  ) throws(OperationError) -> (loss: Tensor<B.Storage>, gradient: Tensor<B.Storage>) {
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
    try phase(.batch)

    let (context, textSaved) = try textEncoder.forward(batch.tokens, rows: rows)
    try phase(.textForward)
    let (prediction, unetSaved) = try unet.forward(noisy, timesteps: batch.timesteps.map(Float.init), context: context)
    try phase(.unetForward)

    let error = MeanSquaredError()
    let loss = try backend.forward(error, prediction: prediction, target: target)
    let dPrediction = try backend.backwardInput(
      error, prediction: prediction, target: target, scale: lossScale.value * share)
    try phase(.loss)

    let dContext = try unet.backward(dPrediction, consume unetSaved)
    try phase(.unetBackward)
    let dEmbedded = try textEncoder.backward(dContext, consume textSaved)
    let gradient = try backend.backwardRows(
      textEncoder.embedding, dEmbedded, batch.tokens, count: rows.shape[0], scale: 1 / lossScale.value, adding: sum)
    try phase(.textBackward)
    return (loss, gradient)
  }
}

/// The parts of a training step, in their order.
public enum TrainingPhase: String, Sendable, CaseIterable {
  case batch
  case textForward = "text_forward"
  case unetForward = "unet_forward"
  case loss
  case unetBackward = "unet_backward"
  case textBackward = "text_backward"
  case update
}

extension ContinuousClock.Instant {
  /// Seconds from this instant to now.
  var secondsToNow: Double {
    let elapsed = duration(to: .now)
    return Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
  }
}
