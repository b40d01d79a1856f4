import Tensors

/// How a run's held-out loss is taken: that of draws which are made once and are the same at every measurement.
public struct HeldOutSettings: Sendable, Hashable, Codable {
  /// Pictures with noise that a measurement looks at; 0 for none.
  public var draws: Int
  /// Steps from one measurement to the next; nil for as many as keep the cost under a tenth of the run's.
  public var every: Int?

  public init(draws: Int = 16, every: Int? = nil) {
    self.draws = draws
    self.every = every
  }

  /// What a run had that was begun before there was one.
  static let none = HeldOutSettings(draws: 0)

  var isOn: Bool { draws > 0 }

  /// Throws `UserError(.usage)` for a number out of range.
  func validate() throws(UserError) {
    guard (0...4096).contains(draws) else {
      throw UserError(.usage, at: .option("held-out"), "must be between 0 and 4096, not \(draws)")
    }
    if let every, every < 1 {
      throw UserError(.usage, at: .option("held-out-every"), "must be at least 1, not \(every)")
    }
  }
}

extension TrainingSettings {
  /// Steps from one measurement of the held-out loss to the next. A forward pass is less than half of a step, so that twelve times
  /// fewer draws are measured than learned from: with the measurements at both ends that is a tenth of a short run at most.
  var heldOutInterval: Int {
    heldOut.every ?? max(1, (6 * heldOut.draws + batchSize * accumulation - 1) / (batchSize * accumulation))
  }

  /// Whether the loss is measured behind step `step`, 0 for the initializer's own.
  func isHeldOutDue(_ step: Int) -> Bool { heldOut.isOn && step.isMultiple(of: heldOutInterval) }
}
