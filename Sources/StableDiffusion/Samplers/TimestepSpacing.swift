import Tensors

/// How a sampler's steps lie among the timesteps a model was trained with (Lin et al., 2023, table 2). The values, down
/// to their rounding, are those of NumPy in diffusers' schedulers.
enum TimestepSpacing: String {
  case leading, trailing, linspace

  /// - Parameter unset: what a configuration that says nothing means to this sampler.
  init(_ configuration: SchedulerConfiguration, unset: TimestepSpacing) throws(UserError) {
    let name = configuration.timestepSpacing ?? unset.rawValue
    guard let spacing = TimestepSpacing(rawValue: name) else {
      throw UserError(
        .badData, "the scheduler's timestep_spacing '\(name)' is not known: leading, trailing and linspace are")
    }
    self = spacing
  }

  /// `0, ..., last` in `count` even parts, falling.
  static func line(to last: Int, count: Int) -> [Double] {
    guard count > 1 else { return [0] }
    let step = Double(last) / Double(count - 1)
    return (0..<count).reversed().map { $0 == count - 1 ? Double(last) : Double($0) * step }
  }

  /// Multiples of a whole step, falling.
  static func multiples(of step: Int, count: Int) -> [Double] {
    (0..<count).reversed().map { Double($0 * step) }
  }

  /// From the last timestep down in equal steps, rounded.
  static func fromEnd(_ trainingSteps: Int, count: Int) -> [Double] {
    let total = Double(trainingSteps)
    let step = total / Double(count)
    // The difference as an addition leaves it, and as many values as lie above zero: what `numpy.arange` makes.
    let difference = (total - step) - total
    return (0..<Int((total / step).rounded(.up))).map {
      (total + Double($0) * difference).rounded(.toNearestOrEven) - 1
    }
  }

  /// Refuses a number of steps that the model's schedule does not hold.
  static func check(_ steps: Int, of schedule: NoiseSchedule) throws(UserError) {
    guard (1...schedule.steps).contains(steps) else {
      throw UserError(.usage, "\(steps) steps: a number from 1 to \(schedule.steps) is needed")
    }
  }
}

extension SchedulerConfiguration {
  /// What is added to evenly spaced timesteps: 1 where the file names an offset, whatever it says, for so diffusers'
  /// Stable Diffusion pipeline corrects its model's scheduler; a scheduler made from that one takes its own default, 0,
  /// where the file is silent.
  var spacingOffset: Int { stepsOffset == nil ? 0 : 1 }

  /// Refuses ways of spacing noise levels that are not known here, rather than draw with others in silence.
  func checkNoiseLevels() throws(UserError) {
    let asked = [
      ("use_karras_sigmas", useKarrasSigmas), ("use_exponential_sigmas", useExponentialSigmas),
      ("use_beta_sigmas", useBetaSigmas), ("use_lu_lambdas", useLuLambdas),
    ].filter { $0.1 ?? false }
    if let (name, _) = asked.first {
      throw UserError(.badData, "the scheduler's \(name) is not supported by this sampler: choose ddim")
    }
    let final = finalSigmasType ?? "zero"
    guard ["zero", "sigma_min"].contains(final) else {
      throw UserError(.badData, "the scheduler's final_sigmas_type '\(final)' is not known: zero and sigma_min are")
    }
  }

  func checkThresholding() throws(UserError) {
    if thresholding ?? false { throw UserError(.badData, "the scheduler's thresholding is not supported") }
  }
}

/// Noise levels `σ = √((1 - ᾱ) / ᾱ)` of a schedule, as Euler and DPM-Solver count them.
struct NoiseLevels {
  private let sigmas: [Float]

  init(_ schedule: NoiseSchedule, rescaled: Bool) {
    var alphas = schedule.alphasCumulative.map { Float($0) }
    // A schedule that ends in pure noise would end at infinity; this is the smallest 16-bit float.
    if rescaled { alphas[alphas.count - 1] = 0x1p-24 }
    sigmas = alphas.map { ((1 - $0) / $0).squareRoot() }
  }

  /// The least level of the schedule.
  var least: Float { sigmas[0] }

  /// The level at a timestep, between its neighbours where it is a fraction, at the schedule's ends beyond them.
  func callAsFunction(_ timestep: Double) -> Float {
    let position = min(max(timestep, 0), Double(sigmas.count - 1))
    let index = min(Int(position), sigmas.count - 2)
    let (low, high) = (Double(sigmas[index]), Double(sigmas[index + 1]))
    return Float(low + (high - low) * (position - Double(index)))
  }
}
