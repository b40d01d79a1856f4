import Foundation
import Synchronization
import TextualInversion

/// What the run's thread and the server's tell each other.
final class LiveRun: Sendable {
  /// What the page can ask a run for.
  enum Action: String, CaseIterable, Sendable { case stop, checkpoint, preview }

  private struct State {
    var folder: URL?
    /// Counts what happened: the page asks for what is newer than it has.
    var revision = 0
    var asked: Set<Action> = []
    var hasEnded = false
    var lastRequest: ContinuousClock.Instant?
    var endIsSeen = false
    var rendered: (revision: Int, content: String)?
  }

  private let state = Mutex(State())

  // The run's side.

  func happened(in folder: URL) {
    state.withLock {
      $0.folder = folder
      $0.revision += 1
    }
  }

  /// What was asked for since the last time.
  func takeActions() -> Set<Action> {
    state.withLock { state in
      defer { state.asked = [] }
      return state.asked
    }
  }

  /// Says that the run is over, and waits a moment where somebody is looking, so that the page shows the end.
  func end() {
    let isWatched = state.withLock { state in
      state.hasEnded = true
      state.revision += 1
      return state.lastRequest.map { $0.duration(to: .now) < .seconds(5) } ?? false
    }
    guard isWatched else { return }
    for _ in 0..<30 where !state.withLock({ $0.endIsSeen }) { Thread.sleep(forTimeInterval: 0.1) }
  }

  // The server's side.

  func ask(_ action: Action) { state.withLock { _ = $0.asked.insert(action) } }

  /// Of the run that is looked at; nil before it is known.
  var folder: URL? { state.withLock { $0.folder } }

  /// The page's content where it is newer than `revision`, with its own; nil where it is not.
  func content(after revision: Int?) throws -> (revision: Int, content: String, hasEnded: Bool)? {
    let (folder, now, rendered, hasEnded) = state.withLock { state in
      state.lastRequest = .now
      return (state.folder, state.revision, state.rendered, state.hasEnded)
    }
    guard let folder, revision != now || hasEnded else { return nil }
    var content = rendered?.content ?? ""
    if rendered?.revision != now { content = try ReportPage([RunRecord(folder)], pictures: .served).content }
    state.withLock { [content] state in
      state.rendered = (now, content)
      if hasEnded { state.endIsSeen = true }
    }
    return (now, content, hasEnded)
  }
}
