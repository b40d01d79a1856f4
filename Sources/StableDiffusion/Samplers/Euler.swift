import Tensors

/// Euler's method on the noise level (Karras et al., "Elucidating the design space of diffusion-based generative
/// models", 2022, algorithm 2 without churn): `x' = x + (σ' - σ) (x - x₀) / σ`, over latents `x = x₀ + σ ε`.
public struct Euler: Sampler {
  public let timesteps: [Float]
  public let initialNoiseScale: Float
  /// The noise level before every step, and behind the last.
  private let sigmas: [Double]
  private let predictionType: PredictionType

  public init(_ configuration: SchedulerConfiguration, steps: Int) throws(UserError) {
    let schedule = try NoiseSchedule(configuration)
    try configuration.checkNoiseLevels()
    try TimestepSpacing.check(steps, of: schedule)
    let spacing = try TimestepSpacing(configuration, unset: .linspace)
    let timesteps: [Float]
    switch spacing {
    case .leading:
      let offset = Float(configuration.spacingOffset)
      timesteps = TimestepSpacing.multiples(of: schedule.steps / steps, count: steps).map { Float($0) + offset }
    case .trailing: timesteps = TimestepSpacing.fromEnd(schedule.steps, count: steps).map { Float($0) }
    case .linspace: timesteps = TimestepSpacing.line(to: schedule.steps - 1, count: steps).map { Float($0) }
    }
    let levels = NoiseLevels(schedule, rescaled: configuration.rescaleBetasZeroSNR ?? false)
    let last = configuration.finalSigmasType == "sigma_min" ? levels.least : 0
    sigmas = (timesteps.map { levels(Double($0)) } + [last]).map { Double($0) }
    let greatest = sigmas.max() ?? 0
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
