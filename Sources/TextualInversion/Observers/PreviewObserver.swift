import Foundation
import ModelFiles
import Tensors

/// Draws pictures with the word every so many steps, when asked, and at the end, beside those of the word before its first step.
final class PreviewObserver: RunObserver {
  private let policy: PreviewPolicy
  private var isOff = false
  private var lastStep: Int?

  init(_ policy: PreviewPolicy) { self.policy = policy }

  func observe(_ event: RunEvent, of run: RunContext) throws {
    switch event {
    case .stepped(let result):
      guard policy.isDue(result.step, of: run.lastStep) || run.isPreviewRequested else { return }
      try draw(run)
      run.isPreviewRequested = false
    case .rolledBack(let step):
      // They show rows that are no longer so.
      for taken in run.folder.previewFiles() where taken.step > step { unlink(taken.url.path) }
      lastStep = lastStep.map { min($0, step) }
    case .ended(.finished)
    where policy.isOn && run.drawing != nil && run.state.step > 0 && lastStep != run.state.step:
      try draw(run)
    default: return
    }
  }

  /// What goes wrong ends the previews, not the run.
  private func draw(_ run: RunContext) throws {
    guard !isOff else { return }
    let pictures = policy.pictures(of: run.settings)
    let hasUntrained = pictures.indices.allSatisfy { run.folder.previewFile(step: 0, number: $0 + 1).isThere }
    var rounds = [(step: run.state.step, rows: run.state.parameters)]
    if !hasUntrained { rounds.insert((0, run.initialParameters), at: 0) }
    // Behind the end, what is left may be an earlier step's.
    let (resultStep, result) = run.state.result
    if resultStep != run.state.step { rounds.append((resultStep, result)) }
    let total = rounds.count * pictures.reduce(0) { $0 + $1.steps }
    var done = 0
    try run.emit(.previewing(done: 0, of: total))
    for (step, rows) in rounds {
      let words = run.embeddings(of: rows)
      var drawn: [Data] = []
      for settings in pictures {
        var warnings: [String] = []
        var watcherError: (any Error)?
        do {
          let picture = try run.picture(settings, with: words, warn: { warnings.append($0) }) { _ in
            done += 1
            do { try run.emit(.previewing(done: done, of: total)) } catch { watcherError = error }
            return watcherError == nil && !run.isStopRequested
          }
          drawn.append(
            try picture.encodedPNG(text: ["parameters": settings.parameters(model: run.model?.name ?? "")]))
        } catch {
          if let watcherError { throw watcherError }
          if error is CancellationError { return }
          return try end(run, error)
        }
        if lastStep == nil, step > 0 { for line in warnings { try run.emit(.warned("preview: \(line)")) } }
      }
      let files = drawn.indices.map { run.folder.previewFile(step: step, number: $0 + 1) }
      do {
        try AtomicFile.makeFolder(run.folder.previews)
        for (picture, file) in zip(drawn, files) { try AtomicFile.write(picture, to: file) }
      } catch { return try end(run, error) }
      try run.emit(.previewed(step: step, files))
    }
    lastStep = run.state.step
  }

  private func end(_ run: RunContext, _ error: any Error) throws {
    isOff = try !run.attempt("no previews from step \(run.state.step) on") { throw error }
  }
}
