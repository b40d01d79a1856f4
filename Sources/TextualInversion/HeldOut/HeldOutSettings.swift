import Tensors

/// How a run's held-out loss is taken: that of draws which are made once and are the same at every measurement.
public struct HeldOutSettings: Sendable, Hashable, Codable {
  /// Pictures with noise that a measurement looks at; 0 for none.
  public var draws: Int
  /// Steps from one measurement to the next; nil for as many as keep the cost under a tenth of the run's.
  public var every: Int?
  /// When the run ends before its last step; nil for never.
  public var settling: SettlingRule?

  public init(draws: Int = 16, every: Int? = nil) {
    self.draws = draws
    self.every = every
  }

  /// What a run had that was begun before there was one.
  static let none = HeldOutSettings(draws: 0)

  var isOn: Bool { draws > 0 }

  /// Throws `UserError(.usage)` for a number out of range.
  func validate(steps: Int) throws(UserError) {
    guard (0...4096).contains(draws) else {
      throw UserError(.usage, at: .option("held-out"), "must be between 0 and 4096, not \(draws)")
    }
    if let every, every < 1 {
      throw UserError(.usage, at: .option("held-out-every"), "must be at least 1, not \(every)")
    }
    guard let settling else { return }
    try settling.validate(steps: steps)
    guard isOn else {
      throw UserError(.usage, at: .option("steps"), "auto goes by the held-out loss", remedy: "leave --held-out 0 out")
    }
  }
}

extension TrainingSettings {
  /// Steps from one measurement of the held-out loss to the next. A forward pass is less than half of a step, and six pictures are
  /// learned from for one that is measured: with the measurements at both ends that is a tenth of a short run at most. A run that
  /// ends by what it measures does it twice as often, which saves more steps than it costs.
  var heldOutInterval: Int {
    let learned = heldOut.draws * (heldOut.settling == nil ? 6 : 3)
    let stepSize = batchSize * accumulation
    return heldOut.every ?? max(1, (learned + stepSize - 1) / stepSize)
  }

  /// Whether the loss is measured behind step `step`, 0 for the initializer's own.
  func isHeldOutDue(_ step: Int) -> Bool { heldOut.isOn && step.isMultiple(of: heldOutInterval) }
}
