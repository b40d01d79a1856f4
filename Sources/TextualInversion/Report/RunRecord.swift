import Foundation
import ModelFiles
import Tensors

/// A run as its folder tells it: what a report is made of.
public struct RunRecord: Sendable {
  public let folder: RunFolder
  public let report: TrainingReport
  public let metrics: MetricsTable

  /// Reads a run's folder; a run that is going on may be read as well.
  ///
  /// - Throws: `UserError(.noInput)` where there is no run, `.badData` where its `training.json` is damaged.
  public init(_ url: URL) throws(UserError) {
    folder = RunFolder(reading: url)
    guard folder.report.isThere else {
      throw missing(
        folder.report, "no such file, so no run to report on", remedy: "name the --output folder of a run")
    }
    report = try TrainingReport(folder.report)
    metrics = MetricsTable(reading: folder.metrics)
  }

  /// The folder's own name.
  var name: String { folder.url.standardizedFileURL.lastPathComponent }
  var words: String { report.settings.taughtWords.joined(separator: ", ") }

  /// Where the run stands, in words.
  var state: String {
    switch report.state {
    case .running, nil: "running, or ended by force"
    case .finished: "finished"
    case .stopped: "stopped"
    case .failed: "failed"
    }
  }

  /// Steps of which there is a line; what the report says is as old as its last writing.
  var stepsDone: Int { max(report.stepsDone, metrics.lastStep ?? 0) }

  /// How many steps of how many are done: `120 of 250`.
  var stepsText: String { "\(stepsDone) of \(report.settings.stepsText)" }

  /// The held-out losses by their steps, the initializer's own at step 0.
  var heldOutLosses: [(x: Double, y: Double)] {
    let initial = report.initialHeldOutLoss.flatMap { $0.isFinite ? (x: 0.0, y: Double($0)) : nil }
    return [initial].compactMap { $0 } + metrics.values("held_out_loss")
  }

  /// Previews by their prompt, in the order of their first pictures; a prompt's in the order of their steps.
  func previews() -> [(prompt: String, pictures: [(step: Int, url: URL)])] {
    var rows: [(prompt: String, pictures: [(step: Int, url: URL)])] = []
    for file in folder.previewFiles() {
      let prompt = RecordedPicture(file.url)?.prompt ?? "prompt \(file.number)"
      if let row = rows.firstIndex(where: { $0.prompt == prompt }) {
        rows[row].pictures.append((file.step, file.url))
      } else {
        rows.append((prompt, [(file.step, file.url)]))
      }
    }
    return rows
  }

  /// Which words of the vocabularies lay near the taught words.
  func nearestWords() -> [NearestWordsHistory] { NearestWordsHistory.all(reading: folder.nearestWords) }
}

extension MetricsTable {
  /// The steps at which a column has a number, with it; nothing where there is no such column.
  public func values(_ name: String) -> [(x: Double, y: Double)] {
    guard let column = columns.firstIndex(of: name), let step = columns.firstIndex(of: "step") else { return [] }
    return rows.compactMap { row in
      guard let x = Double(row[step]), let y = Double(row[column]), y.isFinite else { return nil }
      return (x, y)
    }
  }

  var lastStep: Int? { rows.last.flatMap(step) }
}
