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
  private let keeping: UNetKeeping

  /// Where training stands: the state after the last step that succeeded. Setting it starts the next step from there.
  public var state: TrainingState

  /// - Parameters:
  ///   - layout: where the state's parameters stand among the rows that the encoders are given.
  ///   - state: where training starts or goes on.
  ///   - largestRowNorm: a row longer than this has diverged, and the step that made it fails.
  ///   - keeping: what the UNet keeps for the way back. It changes memory and time, and no number.
  public init(
    backend: B, textEncoders: TextEncoders<B>, unet: UNet<B>, schedule: NoiseSchedule, layout: RowLayout,
    optimizer: any Optimizer, state: TrainingState, loss: LossSettings = LossSettings(),
    largestRowNorm: [Component: Float] = [:], keeping: UNetKeeping = .all
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
    self.keeping = keeping
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
    let rows = try tables()
    func predicted(_ tokens: [TokenBatch]) throws(OperationError) -> Tensor<B.Storage> {
      var conditioning = try textEncoders.forward(tokens, rows: rows, keeping: .nothing).conditioning
      conditioning.sizes = batch.cuts.map(\.numbers)
      return try unet.forward(
        noisy, timesteps: batch.timesteps.map(Float.init), conditioning: conditioning, keeping: .nothing
      ).prediction
    }
    var prediction = try predicted(batch.tokens)
    if let negative = batch.negative {
      prediction = try guided(prediction, from: predicted(negative.tokens), negative.guidance)
    }
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
      let (loss, prompts) = try forwardAndBackward(batch, rows: rows, scale: scale, share: 1 / Float(batches.count))
      losses.append(loss)
      for (index, encoder) in layout.encoders.enumerated() where layout.trained.contains(encoder) {
        /// The gradient of the whole batch or of one example, through all of its prompts.
        func gradient(
          keeping example: Int?, addingTo sum: Tensor<B.Storage>?
        ) throws(OperationError) -> Tensor<B.Storage>? {
          var sum = sum
          for prompt in prompts {
            guard let dEmbedded = prompt.dEmbedded[encoder], let embedding = textEncoders[encoder]?.embedding else {
              throw OperationError(
                .unsupported, "Trainer.step", "the \(encoder.rawValue) was not built to be differentiated")
            }
            let tokens = prompt.tokens[index]
            sum = try backend.backwardRows(
              embedding, dEmbedded, example.map(tokens.keeping) ?? tokens, count: layout.rowCount, scale: 1 / scale,
              addingTo: sum)
          }
          return sum
        }
        sums[encoder] = try gradient(keeping: nil, addingTo: sums[encoder])
        guard optimizer.usesExamples else { continue }
        for example in batch.timesteps.indices {
          if let gradient = try gradient(keeping: example, addingTo: nil) {
            examples[encoder, default: []].append(gradient)
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

  /// Prompts, and the gradient of what the text encoders read of them.
  private typealias PromptGradient = (tokens: [TokenBatch], dEmbedded: [Component: Tensor<B.Storage>])

  /// From a batch to its loss and to the gradients of its prompts, the whole way there and back: of its own and, where there are
  /// some, of those that it is led away from.
  private func forwardAndBackward(
    _ batch: Batch, rows: [Component: Tensor<B.Storage>], scale: Float, share: Float
  ) throws(OperationError) -> (loss: Tensor<B.Storage>, prompts: [PromptGradient]) {
    let (noisy, target) = try noised(batch)
    func forward(_ tokens: [TokenBatch]) throws(OperationError) -> (
      prediction: Tensor<B.Storage>, unet: UNet<B>.Saved, text: TextEncoders<B>.Saved
    ) {
      var (conditioning, text) = try textEncoders.forward(tokens, rows: rows)
      conditioning.sizes = batch.cuts.map(\.numbers)
      let (prediction, unet) = try unet.forward(
        noisy, timesteps: batch.timesteps.map(Float.init), conditioning: conditioning, keeping: keeping)
      return (prediction, unet, text)
    }
    var (prediction, unetSaved, textSaved) = try forward(batch.tokens)
    var opposite: (unet: UNet<B>.Saved, text: TextEncoders<B>.Saved)?
    if let negative = batch.negative {
      let (other, unet, text) = try forward(negative.tokens)
      prediction = try guided(prediction, from: other, negative.guidance)
      opposite = (unet, text)
    }

    let error = lossSettings.operation(timesteps: batch.timesteps, schedule: schedule)
    var weights: Tensor<B.Storage>?
    if let ofPlaces = lossSettings.weights(of: batch, schedule: schedule) {
      weights = try backend.upload(ofPlaces, as: .float32)
    }
    let mean = try backend.forward(error, prediction: prediction, target: target, weights: weights)
    /// Of a prediction that has so large a part in the guided one.
    func dPrediction(_ part: Float) throws(OperationError) -> Tensor<B.Storage> {
      try backend.backwardInput(
        error, prediction: prediction, target: target, weights: weights, scale: scale * share * part)
    }

    let guidance = batch.negative?.guidance ?? 1
    var prompts: [PromptGradient] = []
    let dConditioning = try unet.backward(dPrediction(guidance), consume unetSaved)
    prompts.append((batch.tokens, try textEncoders.backward(dConditioning, consume textSaved)))
    if let negative = batch.negative, let saved = opposite.take() {
      let dConditioning = try unet.backward(dPrediction(1 - guidance), saved.unet)
      prompts.append((negative.tokens, try textEncoders.backward(dConditioning, saved.text)))
    }
    return (mean, prompts)
  }

  /// `n + guidance (p - n)`, as pictures are drawn.
  private func guided(
    _ p: Tensor<B.Storage>, from n: Tensor<B.Storage>, _ guidance: Float
  ) throws(OperationError) -> Tensor<B.Storage> {
    let samples = p.shape[0]
    return try backend.forward(
      WeightedSum(
        a: Array(repeating: guidance, count: samples), b: Array(repeating: 1 - guidance, count: samples)), p, n,
      as: p.type)
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
