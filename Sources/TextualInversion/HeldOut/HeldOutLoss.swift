/// One measurement of a word: the mean loss over draws that no step learns from and that are always the same.
///
/// The loss of a step says little, because its draws differ from the next one's by far more than what was learned between the
/// two; on fixed draws what is left is the word (Voronov et al., "Is this loss informative?", NeurIPS 2023, arXiv 2302.04841).
public struct HeldOutLoss: Sendable, Hashable, Codable {
  /// Steps done, 0 for the initializer's own loss.
  public let step: Int
  public let loss: Float

  public init(step: Int, loss: Float) {
    self.step = step
    self.loss = loss
  }
}

/// What a run remembers of its measurements; part of its state, so that a resumed run decides as one that never stopped.
public struct HeldOutRecord: Sendable, Equatable {
  /// The regular measurements, the initializer's first.
  public private(set) var losses: [HeldOutLoss] = []
  /// The rows that had the lowest of them.
  public private(set) var best: Parameters?
  /// The measurement at the run's end, regular or not; nil until a run is at its end.
  public var last: HeldOutLoss?
  /// What would be left of the loss if nothing were known of the pictures; nil where the loss is another than the squared error.
  public var uninformed: Float?

  public init() {}

  init(losses: [HeldOutLoss], best: Parameters?, last: HeldOutLoss?, uninformed: Float? = nil) {
    self.losses = losses
    self.best = best
    self.last = last
    self.uninformed = uninformed
  }

  /// The initializer's own loss.
  public var initial: HeldOutLoss? { losses.first.flatMap { $0.step == 0 ? $0 : nil } }

  /// The lowest regular measurement of something learned; of several the latest.
  public var lowest: HeldOutLoss? {
    losses.filter { $0.step > 0 }.reduce(nil) { best, next in best.map { next.loss <= $0.loss ? next : $0 } ?? next }
  }

  /// Rows at rest differ by less than this share of the loss from one measurement to the next, and the last of them have had the whole
  /// fall of the rate.
  private static let leastGain: Float = 0.02

  /// That of the rows which a run at its end leaves: its last ones, unless earlier ones had a loss that is clearly lower.
  public var result: HeldOutLoss? {
    guard let last, let lowest, lowest.loss < (1 - Self.leastGain) * last.loss else { return last }
    return lowest
  }

  /// Takes a regular measurement in.
  mutating func add(_ measured: HeldOutLoss, rows: Parameters) {
    guard losses.last != measured else { return }
    losses.append(measured)
    if lowest == measured { best = rows }
  }
}
