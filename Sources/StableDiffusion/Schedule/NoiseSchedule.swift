import Operators
import Tensors

/// How much of a picture and how much noise there is at each of a model's timesteps (Ho et al., "DDPM", 2020).
///
/// `noisy = √ᾱ latents + √(1 - ᾱ) noise` with `ᾱ` the product of `1 - β` up to the timestep.
public struct NoiseSchedule: Sendable, Hashable {
  /// `ᾱ` of every timestep. PyTorch's schedulers keep it as 32-bit floats, and so are these values rounded: a replayed
  /// step sees the same noise to the last bit.
  public let alphasCumulative: [Double]
  public let predictionType: PredictionType

  /// The number of timesteps the model was trained with; timesteps are `0..<steps`.
  public var steps: Int { alphasCumulative.count }

  /// - Throws: `.badData` where the configuration asks for a schedule or a prediction that is not known here.
  public init(_ configuration: SchedulerConfiguration) throws(UserError) {
    // Models of flow matching and of EDM's own scaling take and give something else, whatever the other keys say.
    if let name = configuration.className, ["FlowMatch", "EDM", "CosineDPM"].contains(where: name.hasPrefix) {
      throw UserError(.badData, at: .key("_class_name"), "\(quoted(name)) is for another kind of model")
    }
    let name = configuration.predictionType ?? PredictionType.epsilon.rawValue
    guard let predictionType = PredictionType(rawValue: name) else {
      throw UserError(
        .badData, at: .key("prediction_type"), "\(quoted(name)) is not supported: epsilon and v_prediction are")
    }
    self.predictionType = predictionType
    let betas = try NoiseSchedule.betas(configuration)
    guard betas.allSatisfy({ $0 > 0 && $0 < 1 }) else {
      throw UserError(
        .badData, at: .key(configuration.trainedBetas == nil ? "beta_end" : "trained_betas"),
        "the betas do not all lie between 0 and 1")
    }
    var alphas = NoiseSchedule.products(betas.map { 1 - $0 })
    if configuration.rescaleBetasZeroSNR ?? false { alphas = NoiseSchedule.endingInNoise(alphas) }
    alphasCumulative = alphas.map(Double.init)
  }

  /// The weights that add noise to latents: `√ᾱ` over the latents and `√(1 - ᾱ)` over the noise, one timestep a sample.
  ///
  /// - Throws: `invalidShape` where a timestep is not one of `0..<steps`.
  public func noiseWeights(timesteps: [Int]) throws(OperationError) -> WeightedSum {
    let alphas = try alphas(timesteps)
    return WeightedSum(a: alphas.map { $0.squareRoot() }, b: alphas.map { (1 - $0).squareRoot() })
  }

  /// The weights that make the velocity of noise and latents, in this order: `√ᾱ` over the noise, `-√(1 - ᾱ)` over the
  /// latents.
  ///
  /// - Throws: `invalidShape` where a timestep is not one of `0..<steps`.
  public func velocityWeights(timesteps: [Int]) throws(OperationError) -> WeightedSum {
    let alphas = try alphas(timesteps)
    return WeightedSum(a: alphas.map { $0.squareRoot() }, b: alphas.map { -(1 - $0).squareRoot() })
  }

  private func alphas(_ timesteps: [Int]) throws(OperationError) -> [Float] {
    if let outside = timesteps.first(where: { !alphasCumulative.indices.contains($0) }) {
      throw OperationError(.invalidShape, "NoiseSchedule", "timestep \(outside) is not one of 0 to \(steps - 1)")
    }
    return timesteps.map { Float(alphasCumulative[$0]) }
  }

  private static func betas(_ configuration: SchedulerConfiguration) throws(UserError) -> [Float] {
    if let betas = configuration.trainedBetas {
      try check("trained_betas", betas.count, in: SettingRange.timesteps)
      return betas.map { Float($0) }
    }
    let steps = configuration.trainingSteps ?? 1000
    try check("num_train_timesteps", steps, in: SettingRange.timesteps)
    let start = configuration.betaStart ?? 0.0001
    let end = configuration.betaEnd ?? 0.02
    let schedule = configuration.betaSchedule ?? "linear"
    switch schedule {
    case "linear": return line(from: start, to: end, count: steps)
    case "scaled_linear":
      return line(from: start.squareRoot(), to: end.squareRoot(), count: steps).map { $0 * $0 }
    default:
      throw UserError(
        .badData, at: .key("beta_schedule"), "\(quoted(schedule)) is not supported: linear and scaled_linear are")
    }
  }

  /// Evenly spaced floats from both ends towards the middle, each rounded once: the values of `torch.linspace` in 32
  /// bits.
  private static func line(from start: Double, to end: Double, count: Int) -> [Float] {
    let (start, end) = (Float(start), Float(end))
    let step = Double((end - start) / Float(count - 1))
    return (0..<count).map { index in
      index < count / 2
        ? Float(Double(start) + step * Double(index)) : Float(Double(end) - step * Double(count - 1 - index))
    }
  }

  /// Running products, kept wide and rounded when written: the values of `torch.cumprod` in 32 bits.
  private static func products(_ alphas: [Float]) -> [Float] {
    var product = 1.0
    return alphas.map { alpha in
      product *= Double(alpha)
      return Float(product)
    }
  }

  /// The schedule shifted and stretched so that the last timestep holds nothing of the picture (Lin et al., "Common
  /// diffusion noise schedules and sample steps are flawed", 2023, algorithm 1).
  private static func endingInNoise(_ alphas: [Float]) -> [Float] {
    let roots = alphas.map { $0.squareRoot() }
    guard let first = roots.first, let last = roots.last, first > last else { return alphas }
    let stretched = roots.map { root in
      let signal = (root - last) * (first / (first - last))
      return signal * signal
    }
    // By way of the betas, as the schedulers do, for the same rounding.
    let ratios = [stretched[0]] + zip(stretched.dropFirst(), stretched).map { $0 / $1 }
    return products(ratios.map { 1 - (1 - $0) })
  }
}
