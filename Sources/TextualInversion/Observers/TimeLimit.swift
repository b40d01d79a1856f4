import Tensors

/// Ends a run once its time is up: as one that is finished with what there is, and that can be gone on with.
public final class TimeLimit: RunObserver {
  private let minutes: Double
  private let start = ContinuousClock.now

  /// - Parameter minutes: of wall-clock time from now, encoding and the search for words among it, which no step is begun in that
  ///   would go beyond.
  /// - Throws: `UserError(.usage)` for a number out of range.
  public init(minutes: Double) throws(UserError) {
    guard minutes > 0, minutes <= 1e6 else {
      throw UserError(.usage, at: .option("max-minutes"), "must be above 0 and at most a million, not \(minutes)")
    }
    self.minutes = minutes
  }

  public func observe(_ event: RunEvent, of run: RunContext) throws {
    let next: Double
    switch event {
    case .encoded, .searched: next = 0
    case .stepped(let result): next = result.seconds
    default: return
    }
    guard !run.isOver, start.secondsToNow + next > 60 * minutes else { return }
    run.requestEnd()
    try run.emit(
      .warned(
        "the time is up (--max-minutes) after step \(run.state.step) of \(run.lastStep); --resume goes on from there"))
  }
}
