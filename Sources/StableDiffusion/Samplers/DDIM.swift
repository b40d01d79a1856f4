import Tensors

/// Denoising diffusion implicit models (Song et al., 2021, equation 12) without added noise (η = 0):
/// `x' = √ᾱ' x₀ + √(1 - ᾱ') ε`, with the picture `x₀` and the noise `ε` as predicted at `x`.
///
/// Clipping of `x₀` is never done: latents are not bounded, and diffusers' Stable Diffusion pipeline turns it off.
public struct DDIM: Sampler {
  public let timesteps: [Float]
  private let alphas: [(now: Double, next: Double)]
  private let predictionType: PredictionType

  public init(_ configuration: SchedulerConfiguration, steps: Int) throws(UserError) {
    let schedule = try NoiseSchedule(configuration)
    try configuration.refuse([("thresholding", configuration.thresholding ?? false)])
    try TimestepSpacing.check(steps, of: schedule)
    let stride = schedule.steps / steps
    let timesteps: [Int]
    switch try TimestepSpacing(configuration, unset: .leading) {
    case .leading:
      let offset = configuration.spacingOffset
      timesteps = TimestepSpacing.multiples(of: stride, count: steps).map { Int($0) + offset }
    case .trailing: timesteps = TimestepSpacing.fromEnd(schedule.steps, count: steps).map { Int($0) }
    case .linspace:
      timesteps = TimestepSpacing.line(to: schedule.steps - 1, count: steps).map { Int($0.rounded(.toNearestOrEven)) }
    }
    guard let first = timesteps.first, first < schedule.steps else {
      throw UserError(.usage, "\(steps) steps are too many for ddim on a model of \(schedule.steps): take fewer")
    }
    let final = configuration.setAlphaToOne ?? true ? 1 : schedule.alphasCumulative[0]
    predictionType = schedule.predictionType
    self.timesteps = timesteps.map { Float($0) }
    alphas = timesteps.map { timestep in
      let next = timestep - stride
      return (schedule.alphasCumulative[timestep], next >= 0 ? schedule.alphasCumulative[next] : final)
    }
  }

  public func step(prediction: [Float], at index: Int, latents: [Float]) -> [Float] {
    let (alpha, next) = alphas[index]
    let (signal, noise) = (alpha.squareRoot(), (1 - alpha).squareRoot())
    let (nextSignal, nextNoise) = (next.squareRoot(), (1 - next).squareRoot())
    // x₀ and ε are sums of latents and prediction, so x' is one, too.
    switch predictionType {
    case .epsilon:  // x₀ = (x - √(1 - ᾱ) ε) / √ᾱ
      return weightedSum(
        Float(nextSignal / signal), latents, Float(nextNoise - nextSignal * noise / signal), prediction)
    case .velocity:  // x₀ = √ᾱ x - √(1 - ᾱ) v, ε = √ᾱ v + √(1 - ᾱ) x
      return weightedSum(
        Float(nextSignal * signal + nextNoise * noise), latents, Float(nextNoise * signal - nextSignal * noise),
        prediction)
    }
  }
}
