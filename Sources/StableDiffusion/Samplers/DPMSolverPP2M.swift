import Foundation
import Tensors

/// DPM-Solver++ of second order from two steps, 2M (Lu et al., "DPM-Solver++", 2022, algorithm 2): `x' = (σ'/σ) x - α'
/// (e^-h - 1) (x₀ + (x₀ - x₀⁻) / 2r)`, with `λ = log(α/σ)`, `h = λ' - λ`, `r = h⁻ / h` and `⁻` for the step before.
///
/// First and last step are of first order, as there is no step before and no noise left behind. The levels are those of
/// evenly spaced timesteps or, where the configuration says `use_karras_sigmas`, Karras' over the whole schedule.
public struct DPMSolverPP2M: Sampler {
  public let timesteps: [Float]
  /// `α` and `σ` before every step, and behind the last.
  private let levels: [(alpha: Double, sigma: Double)]
  private let predictionType: PredictionType
  private let isLastOfFirstOrder: Bool
  private let order: Int
  /// The picture as the step before predicted it.
  private var before: [Float]?

  public init(_ configuration: SchedulerConfiguration, steps: Int) throws(UserError) {
    let schedule = try NoiseSchedule(configuration)
    let sigmas = NoiseLevels(schedule, rescaled: configuration.rescaleBetasZeroSNR ?? false)
    try configuration.refuse(
      configuration.otherNoiseLevels + [
        ("use_lu_lambdas", configuration.useLuLambdas ?? false), ("thresholding", configuration.thresholding ?? false),
        // The schedule's own least is as good as none.
        ("lambda_min_clipped", configuration.lambdaMinClipped ?? -.infinity > -log(Double(sigmas.greatest))),
        ("variance_type", ["learned", "learned_range"].contains(configuration.varianceType)),
      ])
    try TimestepSpacing.check(steps, of: schedule)
    // Names of related solvers are taken for the nearest thing, as diffusers takes them.
    let algorithm = configuration.algorithmType ?? "dpmsolver++"
    guard ["dpmsolver++", "deis"].contains(algorithm) else {
      throw UserError(.badData, at: .key("algorithm_type"), "\(quoted(algorithm)) is not supported: dpmsolver++ is")
    }
    let solver = configuration.solverType ?? "midpoint"
    guard ["midpoint", "logrho", "bh1", "bh2"].contains(solver) else {
      throw UserError(.badData, at: .key("solver_type"), "\(quoted(solver)) is not supported: midpoint is")
    }
    order = configuration.solverOrder ?? 2
    guard (1...2).contains(order) else {
      throw UserError(.badData, at: .key("solver_order"), "\(order) is not supported: 1 and 2 are")
    }
    var timesteps: [Double]
    switch try TimestepSpacing(configuration, unset: .linspace) {
    case .leading:
      let offset = Double(configuration.spacingOffset)
      let multiples = TimestepSpacing.multiples(of: schedule.steps / (steps + 1), count: steps + 1)
      timesteps = multiples.dropLast().map { $0 + offset }
    case .trailing: timesteps = TimestepSpacing.fromEnd(schedule.steps, count: steps)
    case .linspace:
      let line = TimestepSpacing.line(to: schedule.steps - 1, count: steps + 1)
      timesteps = line.dropLast().map { $0.rounded(.toNearestOrEven) }
    }
    var noise = timesteps.map { sigmas($0) }
    if configuration.useKarrasSigmas ?? false {
      noise = try NoiseLevels.karras(
        configuration, from: Double(sigmas.greatest), to: Double(sigmas.least), count: steps)
      timesteps = noise.map { sigmas.timestep(of: $0).rounded(.toNearestOrEven) }
    }
    let endsAtZero = configuration.finalSigmasType != "sigma_min"
    levels = (noise + [endsAtZero ? 0 : Double(sigmas.least)]).map { sigma in
      let sigma = Double(Float(sigma))
      let alpha = 1 / (sigma * sigma + 1).squareRoot()
      return (alpha, sigma * alpha)
    }
    isLastOfFirstOrder =
      endsAtZero || configuration.eulerAtFinal ?? false
      || (configuration.lowerOrderFinal ?? true && timesteps.count < 15)
    self.timesteps = timesteps.map { Float($0) }
    predictionType = schedule.predictionType
  }

  public mutating func step(prediction: [Float], at index: Int, latents: [Float]) -> [Float] {
    let (alpha, sigma) = levels[index]
    let (nextAlpha, nextSigma) = levels[index + 1]
    let picture: [Float]
    switch predictionType {
    case .epsilon: picture = weightedSum(Float(1 / alpha), latents, Float(-sigma / alpha), prediction)
    case .velocity: picture = weightedSum(Float(alpha), latents, Float(-sigma), prediction)
    }
    defer { before = picture }
    let lambda = log(alpha) - log(sigma)
    // Infinite where no noise is left, which makes e^-h zero.
    let h = log(nextAlpha) - log(nextSigma) - lambda
    let weight = -nextAlpha * (exp(-h) - 1)
    let isLast = index == timesteps.count - 1
    guard order == 2, let before, index > 0, !(isLast && isLastOfFirstOrder) else {
      return weightedSum(Float(nextSigma / sigma), latents, Float(weight), picture)
    }
    let previous = log(levels[index - 1].alpha) - log(levels[index - 1].sigma)
    let half = h / (2 * (lambda - previous))
    let slope = weightedSum(Float(1 + half), picture, Float(-half), before)
    return weightedSum(Float(nextSigma / sigma), latents, Float(weight), slope)
  }
}
