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
        .badData, at: .key("timestep_spacing"), "\(quoted(name)) is not known: leading, trailing and linspace are")
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

  /// Refuses, by name, what a file asks for and a sampler does not do, rather than draw something else in silence. What
  /// diffusers' scheduler of the sampler's name does not read, the sampler does not ask about.
  func refuse(_ asked: [(key: String, isAsked: Bool)]) throws(UserError) {
    if let (key, _) = asked.first(where: \.isAsked) {
      throw UserError(.badData, at: .key(key), "is not supported by this sampler", remedy: "take another")
    }
  }

  /// What neither Euler nor DPM-Solver++ does: other noise levels than the schedule's and Karras'.
  var otherNoiseLevels: [(key: String, isAsked: Bool)] {
    [
      ("use_exponential_sigmas", useExponentialSigmas ?? false), ("use_beta_sigmas", useBetaSigmas ?? false),
      ("use_flow_sigmas", useFlowSigmas ?? false),
      ("final_sigmas_type", !["zero", "sigma_min"].contains(finalSigmasType ?? "zero")),
    ]
  }
}
