import Tensors

/// When a word has settled, and what a run does from there.
///
/// By DVAR's rule (Voronov et al., "Is this loss informative?", NeurIPS 2023, arXiv 2302.04841): once the variance of the last `window` measurements
/// is under `threshold` of the variance of all of them. There every step is measured and the window is 310 steps of a run of thousands;
/// here a measurement stands for a dozen steps of a run of hundreds.
///
/// Until then the rate stays at its height, since how far it would have to have fallen is not known yet. Behind it the schedule's
/// fall is run through in `tail` steps: rows that are learned at a full angle go round about where they settle.
public struct SettlingRule: Sendable, Hashable, Codable {
  /// Measurements.
  public var window = 6
  public var threshold = 0.15
  /// Steps from there to the run's end.
  public var tail: Int

  public init(tail: Int) { self.tail = tail }

  /// The first measurement, by its place, with which the losses have settled.
  public func settled(_ losses: [Float]) -> Int? {
    guard losses.count > window else { return nil }
    return (window..<losses.count).first { index in
      variance(losses[(index + 1 - window)...index]) < threshold * variance(losses[...index])
    }
  }

  /// Of the values as they are, not of what they are drawn from.
  private func variance(_ values: ArraySlice<Float>) -> Double {
    let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
    return values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(values.count)
  }

  /// Throws `UserError(.usage)` for a number out of range.
  func validate(steps: Int) throws(UserError) {
    guard (2...10_000).contains(window), threshold > 0, threshold < 1, (0..<steps).contains(tail) else {
      throw UserError(
        .usage, at: .option("steps"),
        "a window of \(window), a threshold of \(threshold) and a tail of \(tail) fit no run")
    }
  }
}

extension TrainingSettings {
  /// Lets the run end once its word has settled, after twice as many steps as it has at most; the tail is a fifth of those it has.
  public mutating func stopWhenSettled() {
    guard heldOut.settling == nil else { return }
    heldOut.settling = SettlingRule(tail: schedule == .constant ? 0 : steps / 5)
    steps = min(2 * steps, Self.mostSteps / max(1, accumulation))
  }

  /// Lets the run end behind a step, whether its word has settled or not. It is measured as often as before.
  public mutating func stop(behind step: Int) {
    steps = step
    guard heldOut.settling != nil else { return }
    heldOut.every = heldOutInterval
    heldOut.settling = nil
  }

  /// How many steps the run has, for a person: `250`, or `at most 500` where it ends once its word has settled.
  public var stepsText: String { (heldOut.settling == nil ? "" : "at most ") + "\(steps)" }

  /// The step behind which the word had settled, where it had before the last of them.
  func settledStep(_ record: HeldOutRecord) -> Int? {
    heldOut.settling?.settled(record.losses.map(\.loss)).map { record.losses[$0].step }
  }

  /// The step that the run ends behind, as far as its measurements tell.
  func lastStep(_ record: HeldOutRecord) -> Int { fall(record).upperBound }

  /// The steps over which the schedule falls: all of them, or those behind where the word settled.
  private func fall(_ record: HeldOutRecord) -> Range<Int> {
    guard let settling = heldOut.settling else { return 0..<steps }
    let start = min(settledStep(record) ?? steps, max(0, steps - settling.tail))
    return start..<start + settling.tail
  }

  /// What to multiply the base rate with at step `step`, from 0, of a run that has measured so much.
  func rateFactor(at step: Int, _ record: HeldOutRecord) -> Double {
    let fall = fall(record)
    guard fall.lowerBound > 0 else { return schedule.factor(step: step, steps: steps, warmup: warmupSteps) }
    return step < fall.lowerBound
      ? LearningRateSchedule.constant.factor(step: step, steps: steps, warmup: warmupSteps)
      : schedule.factor(step: step - fall.lowerBound, steps: fall.count, warmup: 0)
  }
}
