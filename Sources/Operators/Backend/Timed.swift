import Tensors

/// How long the phases of a computation take, as `Timed` backends tell it: each phase's name and seconds, in the order they first ran.
///
/// The device is waited for where one phase follows another, so that queued work counts where it was queued.
public final class PhaseTimes {
  /// Whether times are taken; while they are not, the device is never waited for.
  public var isTaken = false
  public private(set) var phases: [(name: String, seconds: Double)] = []
  private var current: (part: String, direction: OperationPass, index: Int, start: ContinuousClock.Instant)?

  public init() {}

  /// Ends the phase under way, if there is one, once `backend` has done its work.
  public func end(on backend: some StorageBackend) throws(OperationError) {
    guard let current else { return }
    try backend.synchronize()
    let (seconds, attoseconds) = current.start.duration(to: .now).components
    phases[current.index].seconds += Double(seconds) + Double(attoseconds) * 1e-18
    self.current = nil
  }

  fileprivate func enter(_ part: String, _ pass: OperationPass, on backend: some StorageBackend) throws(OperationError)
  {
    guard isTaken, pass != .loading else { return }
    let before = current?.part == part ? current?.direction : nil
    let direction = pass == .either ? before ?? .forward : pass
    if direction == before { return }
    try end(on: backend)
    let name = "\(part) \(direction)"
    let index = phases.firstIndex { $0.name == name } ?? phases.endIndex
    if index == phases.endIndex { phases.append((name, 0)) }
    current = (part, direction, index, .now)
  }
}

/// A backend that counts the time of what another does: one for each part of a model, all over the same backend.
///
/// A phase is a part and a direction, such as "UNet backward". Work without a direction, transfers and sums, goes with the work of its
/// part before it.
public final class Timed<B: Backend>: Decorated<B> {
  private let part: String
  private let times: PhaseTimes

  public init(_ backend: B, part: String, times: PhaseTimes) {
    self.part = part
    self.times = times
    super.init(backend)
  }

  public override func willPerform(_ call: some OperationCall) throws(OperationError) {
    try times.enter(part, type(of: call).pass, on: backend)
  }
}
