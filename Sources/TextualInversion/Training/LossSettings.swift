import Foundation
import Operators
import StableDiffusion
import Tensors

/// What the loss is taken of, how it is weighed, and how large a gradient may be: for those who know why. Nothing is on unless asked
/// for.
public struct LossSettings: Sendable, Hashable, Codable {
  /// Pseudo-Huber in place of the squared error.
  public var huber: HuberThreshold?
  /// Min-SNR's γ: an example counts `min(SNR, γ) / SNR`, or `/ (SNR + 1)` where the model predicts v (Hang et al., "Efficient diffusion
  /// training via min-SNR weighting strategy", 2023, arXiv 2303.09556).
  public var snrGamma: Float?
  /// How much of one more normal number, the same all over a channel, is added to the noise (Guttenberg, "Diffusion with offset
  /// noise", 2023).
  public var noiseOffset: Float = 0
  /// The timesteps that are drawn from, the last not among them; all that the model has where none are given.
  public var timesteps: Range<Int>?
  /// The Euclidean norm that the gradient of all that is trained is brought down to where it is larger.
  public var maxGradientNorm: Float?

  public init() {}

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    huber = try container.decodeIfPresent(HuberThreshold.self, forKey: .huber)
    snrGamma = try container.decodeIfPresent(Float.self, forKey: .snrGamma)
    noiseOffset = try container.decodeIfPresent(Float.self, forKey: .noiseOffset) ?? 0
    timesteps = try container.decodeIfPresent(Range<Int>.self, forKey: .timesteps)
    maxGradientNorm = try container.decodeIfPresent(Float.self, forKey: .maxGradientNorm)
  }

  /// Throws `UserError(.usage)` naming the first setting that is out of range, or does nothing in training by `method`.
  func validate(method: TrainingMethod) throws(UserError) {
    func require(_ condition: Bool, _ message: String) throws(UserError) {
      if !condition { throw UserError(.usage, message) }
    }
    if let huber {
      try require(
        (1e-6...1e3).contains(huber.threshold), "--huber must be between 1e-6 and 1000, not \(huber.threshold)")
    }
    if let snrGamma { try require(snrGamma > 0 && snrGamma <= 1e6, "--min-snr must be above 0, not \(snrGamma)") }
    try require((0...1).contains(noiseOffset), "--noise-offset must be between 0 and 1, not \(noiseOffset)")
    if let timesteps {
      try require(
        timesteps.lowerBound >= 0 && !timesteps.isEmpty,
        "--timesteps \(timesteps.lowerBound)..\(timesteps.upperBound) holds none")
    }
    if let maxGradientNorm {
      try require(
        maxGradientNorm > 0 && maxGradientNorm.isFinite, "--max-gradient-norm must be above 0, not \(maxGradientNorm)")
      try require(
        method != .spherical,
        "--max-gradient-norm goes with --method plain or prodigy: spherical brings every gradient to length one")
    }
  }

  /// Throws `UserError(.usage)` where the model has not the timesteps that are asked for.
  func check(_ schedule: NoiseSchedule) throws(UserError) {
    guard let timesteps, timesteps.upperBound > schedule.steps else { return }
    throw UserError(
      .usage, at: .option("timesteps"),
      "\(timesteps.lowerBound)..\(timesteps.upperBound), but the model's are 0 to \(schedule.steps - 1)")
  }

  /// What a person may not expect, a line each.
  func warnings(method: TrainingMethod) -> [String] {
    guard method == .spherical, snrGamma != nil else { return [] }
    return [
      "--min-snr weighs whole examples, and spherical training brings each example's gradient to length one: the loss that is "
        + "shown changes, and nothing that is learned"
    ]
  }

  /// The error that is taken of a batch.
  func operation(timesteps: [Int], schedule: NoiseSchedule) -> PredictionLoss {
    PredictionLoss(huber: huber.map { huber in timesteps.map { huber.value(at: $0, of: schedule) } })
  }

  /// What each place of a batch counts, `[batch, height, width, 1]`; nil where all count 1.
  func weights(of batch: Batch, schedule: NoiseSchedule) -> HostTensor? {
    guard let snrGamma else { return batch.weights }
    var weights = batch.weights ?? HostTensor(repeating: 1, batch.latents.shape.withChannels(1))
    let examples = batch.timesteps.map { schedule.minSNRWeight(gamma: snrGamma, at: $0) }
    let places = weights.values.count / max(1, examples.count)
    for index in weights.values.indices { weights.values[index] *= examples[index / max(1, places)] }
    return weights
  }
}

/// Pseudo-Huber's threshold `c`, and how it depends on how much noise there is: kohya's three ways.
public struct HuberThreshold: Sendable, Hashable, Codable {
  public enum Schedule: String, Sendable, Hashable, Codable, CaseIterable {
    /// `(1 - c) / (1 + σ)² + c`, with `σ² = (1 - ᾱ) / ᾱ`: 1 without noise, `c` in nothing else.
    case snr
    /// `c^(t/T)`: 1 without noise, `c` at the last of `T` timesteps.
    case exponential
    /// `c`.
    case constant
  }

  public var threshold: Float
  public var schedule: Schedule

  public init(threshold: Float = 0.1, schedule: Schedule = .snr) {
    self.threshold = threshold
    self.schedule = schedule
  }

  /// The threshold at a timestep.
  func value(at timestep: Int, of noise: NoiseSchedule) -> Float {
    let c = Double(threshold)
    switch schedule {
    case .snr:
      guard noise.alphasCumulative.indices.contains(timestep) else { return threshold }
      let alpha = noise.alphasCumulative[timestep]
      let sigma = ((1 - alpha) / alpha).squareRoot()
      return Float((1 - c) / ((1 + sigma) * (1 + sigma)) + c)
    case .exponential: return Float(pow(c, Double(timestep) / Double(noise.steps)))
    case .constant: return threshold
    }
  }
}

extension NoiseSchedule {
  /// Min-SNR's weight of an example at a timestep. Where there is nothing but noise the limit is taken.
  func minSNRWeight(gamma: Float, at timestep: Int) -> Float {
    guard alphasCumulative.indices.contains(timestep) else { return 1 }
    let alpha = alphasCumulative[timestep]
    let snr = alpha / (1 - alpha)
    switch predictionType {
    case .epsilon: return snr > Double(gamma) ? Float(Double(gamma) / snr) : 1
    case .velocity: return Float(min(snr, Double(gamma)) / (snr + 1))
    }
  }
}

extension [ParameterName: RowGradient] {
  /// The gradients, all of them times one factor where their Euclidean norm is above `largest`: PyTorch's `clip_grad_norm_`.
  func clipped(toNorm largest: Float) -> Self {
    let squares = sorted { $0.key < $1.key }.flatMap(\.value.mean.values).reduce(0.0) { $0 + Double($1) * Double($1) }
    let factor = Double(largest) / (squares.squareRoot() + 1e-6)
    guard factor < 1 else { return self }
    func scaled(_ tensor: HostTensor) -> HostTensor {
      HostTensor(tensor.shape, tensor.values.map { Float(Double($0) * factor) })
    }
    return mapValues { RowGradient(scaled($0.mean), examples: $0.examples.map(scaled)) }
  }
}
