import TextualInversion

/// Tells the live page what happens, and the run what the page asks for. It comes last: the page is made of the run's files.
final class LiveObserver: RunObserver {
  private let live: LiveRun

  init(_ live: LiveRun) { self.live = live }

  func observe(_ event: RunEvent, of run: RunContext) {
    live.happened(in: run.folder.url)
    for action in live.takeActions() {
      switch action {
      case .stop: run.requestStop()
      case .checkpoint: run.requestCheckpoint()
      case .preview: run.requestPreview()
      }
    }
    if case .ended = event { live.end() }
  }
}
