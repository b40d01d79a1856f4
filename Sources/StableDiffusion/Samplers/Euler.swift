import Tensors

/// Euler's method on the noise level (Karras et al., "Elucidating the design space of diffusion-based generative
/// models", 2022, algorithm 2 without churn): `x' = x + (σ' - σ) (x - x₀) / σ`, over latents `x = x₀ + σ ε`.
///
/// The levels are those of evenly spaced timesteps or, where the configuration says `use_karras_sigmas`, the paper's
/// between the same ends; the UNet then is asked at timesteps that may be fractions.
public struct Euler: Sampler {
  public let timesteps: [Float]
  public let initialNoiseScale: Float
  /// The noise level before every step, and behind the last.
  private let sigmas: [Double]
  private let predictionType: PredictionType

  public init(_ configuration: SchedulerConfiguration, steps: Int) throws(UserError) {
    let schedule = try NoiseSchedule(configuration)
    try configuration.refuse(
      configuration.otherNoiseLevels + [
        ("interpolation_type", configuration.interpolationType ?? "linear" != "linear"),
        ("timestep_type", configuration.timestepType == "continuous" && schedule.predictionType == .velocity),
      ])
    try TimestepSpacing.check(steps, of: schedule)
    let spacing = try TimestepSpacing(configuration, unset: .linspace)
    var timesteps: [Float]
    switch spacing {
    case .leading:
      let offset = Float(configuration.spacingOffset)
      timesteps = TimestepSpacing.multiples(of: schedule.steps / steps, count: steps).map { Float($0) + offset }
    case .trailing: timesteps = TimestepSpacing.fromEnd(schedule.steps, count: steps).map { Float($0) }
    case .linspace: timesteps = TimestepSpacing.line(to: schedule.steps - 1, count: steps).map { Float($0) }
    }
    let levels = NoiseLevels(schedule, rescaled: configuration.rescaleBetasZeroSNR ?? false)
    var sigmas = timesteps.map { levels(Double($0)) }
    if configuration.useKarrasSigmas ?? false, let first = sigmas.first, let last = sigmas.last {
      sigmas = try NoiseLevels.karras(configuration, from: first, to: last, count: steps)
      timesteps = sigmas.map { Float(levels.timestep(of: $0)) }
    }
    sigmas.append(configuration.finalSigmasType == "sigma_min" ? Double(levels.least) : 0)
    self.sigmas = sigmas.map { Double(Float($0)) }
    let greatest = self.sigmas.max() ?? 0
    initialNoiseScale = Float(spacing == .leading ? (greatest * greatest + 1).squareRoot() : greatest)
    self.timesteps = timesteps
    predictionType = schedule.predictionType
  }

  public func scaledInput(_ latents: [Float], at index: Int) -> [Float] {
    let scale = Float((sigmas[index] * sigmas[index] + 1).squareRoot())
    return latents.map { $0 / scale }
  }

  public func step(prediction: [Float], at index: Int, latents: [Float]) -> [Float] {
    let sigma = sigmas[index]
    let change = sigmas[index + 1] - sigma
    switch predictionType {
    case .epsilon:  // (x - x₀) / σ = ε
      return weightedSum(1, latents, Float(change), prediction)
    case .velocity:  // x₀ = x / (σ² + 1) - σ v / √(σ² + 1)
      let square = sigma * sigma + 1
      return weightedSum(
        Float(1 + change * sigma / square), latents, Float(change / square.squareRoot()), prediction)
    }
  }
}
