import Foundation
import ModelFiles
import Tensors

/// Keeps `training.json`, and draws the loss curve at the end.
final class ReportObserver: RunObserver {
  var report: TrainingReport
  private let start = ContinuousClock.now
  private let earlierSeconds: Double

  init(_ report: TrainingReport) {
    self.report = report
    earlierSeconds = report.seconds
  }

  func observe(_ event: RunEvent, of run: RunContext) throws {
    switch event {
    case .warned(let line):
      report.warnings = (report.warnings ?? []) + [line]
      // For whoever looks at a run that goes on; what must be written is written at its end.
      if report.device != nil { try? report.write(to: run.folder.report) }
    case .evaluated(let measured) where measured.step == 0:
      report.initialHeldOutLoss = measured.loss
      try report.write(to: run.folder.report)
    case .started(let device):
      report.device = device
      report.fingerprint = run.fingerprint
      try report.write(to: run.folder.report)
    case .found:
      report.settings = run.settings
      try report.write(to: run.folder.report)
    case .ended(let end):
      switch end {
      case .finished: report.state = .finished
      case .stopped: report.state = .stopped
      case .failed(let error):
        report.state = .failed
        report.error = "\(error)"
      }
      try finish(run)
    default: return
    }
  }

  private func finish(_ run: RunContext) throws {
    let losses = MetricsTable(reading: run.folder.metrics).values("loss")
    let last = losses.suffix(max(1, losses.count / 10))
    if !last.isEmpty { report.finalLoss = last.reduce(0) { $0 + $1.y } / Double(last.count) }
    report.stepsDone = run.state.step
    report.resultStep = run.state.result.step
    report.heldOut = run.conclusion
    report.seconds = earlierSeconds + start.secondsToNow
    report.peakBytes = max(report.peakBytes, run.peakBytes)
    try report.write(to: run.folder.report)
    if !losses.isEmpty {
      try AtomicFile.write(
        LossCurve.png(losses, title: "loss of \(run.settings.placeholder.word)"), to: run.folder.lossCurve)
    }
  }
}
