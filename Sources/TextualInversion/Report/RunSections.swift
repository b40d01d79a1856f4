import Foundation
import ModelFiles
import Tensors

/// The page of one run, from top to bottom.
struct RunSections {
  let run: RunRecord
  let pictures: ReportPage.Pictures

  private var report: TrainingReport { run.report }

  func html(_ title: String) -> HTML {
    """
    <main>
    <header><h1>\(title)</h1>
    <p class="state">\(summary)</p></header>
    \(ReportPieces.section("Warnings", warnings))\
    \(ReportPieces.section("Previews", previews))\
    \(ReportPieces.section("Pictures it was learned from", learned))\
    \(ReportPieces.section("Curves", curves))\
    \(ReportPieces.section("Nearest words", nearest))\
    \(ReportPieces.section("Settings", settings))\
    \(ReportPieces.section("Where it comes from", provenance))\
    </main>
    """
  }

  /// `Finished: 250 of 250 steps in 35.2 s on CPU.`
  private var summary: HTML {
    let steps = "\(run.stepsText) steps"
    let time = report.seconds > 0 ? " in \(ReportPieces.duration(report.seconds))" : ""
    let device = report.device.map { " on \($0)" } ?? ""
    let error = report.error.map { ": \($0)" } ?? ""
    return "<strong>\(state)</strong>\(error) · \(steps)\(time)\(device)"
  }

  /// Whoever is served the page looks at the run as it goes on.
  private var state: String {
    if case .served = pictures, report.state == .running { return "Running" }
    return run.state.prefix(1).uppercased() + run.state.dropFirst()
  }

  private var warnings: HTML {
    let lines = report.warnings ?? []
    return lines.isEmpty ? "" : "<ul class=\"warnings\">\(lines.map { line -> HTML in "<li>\(line)</li>\n" })</ul>"
  }

  private var learned: HTML {
    let figures = run.folder.learnedPictureFiles().map { file -> HTML in
      let name = RecordedPicture(file)?.title ?? file.lastPathComponent
      return ReportPieces.figure(file, alt: "Training picture \(name)", caption: name, pictures)
    }
    let more = (report.fingerprint?.pictures.count ?? 0) - figures.count
    return figures.isEmpty
      ? "" : "<div class=\"pictures\">\(figures)</div>\(more > 0 ? "<p>and \(more) more</p>" as HTML : "")"
  }

  /// More than these do not tell more.
  private static let mostPreviews = 8

  private var previews: HTML {
    let rows = run.previews().map { row -> HTML in
      var shown = row.pictures
      if shown.count > Self.mostPreviews {
        let all = shown
        shown = (0..<Self.mostPreviews).map { all[$0 * (all.count - 1) / (Self.mostPreviews - 1)] }
      }
      let figures = shown.map { picture -> HTML in
        let caption = time(picture.step)
        return ReportPieces.figure(
          picture.url, alt: "“\(row.prompt)”, \(caption)", caption: caption, pictures)
      }
      let left = row.pictures.count - shown.count
      return """
        <h3>\(row.prompt)</h3>
        <div class="pictures">\(figures)</div>\
        \(left > 0 ? "<p>\(left) in between are in the folder previews</p>" as HTML : "")

        """
    }
    return "\(rows)"
  }

  /// When something was so, and whether that is what the run left in place of the last step's.
  private func time(_ step: Int) -> String {
    if step == 0 { return "before training" }
    return "step \(step)" + (step == report.resultStep && step != report.stepsDone ? ", what is left" : "")
  }

  private var curves: HTML {
    func curve(_ column: String, _ label: String, _ color: Int) -> CurvePlot.Curve {
      CurvePlot.Curve(label: label, points: run.metrics.values(column), color: color)
    }
    var loss = curve("loss", "training loss", 0)
    loss.isSmoothed = true
    let heldOut = CurvePlot.Curve(label: "held-out loss", points: run.heldOutLosses, isMarked: true)
    let both = [("", "first text encoder", 0), ("_2", "second text encoder", 1)]
    let plots = [
      CurvePlot(title: "Training loss, and its running mean", curves: [loss]),
      CurvePlot(title: "Held-out loss, the initializer’s at step 0", curves: [heldOut]),
      CurvePlot(
        title: "Angle from the initial rows", unit: "degrees",
        curves: both.map { curve("row_angle" + $0.0, $0.1, $0.2) }),
      CurvePlot(title: "Length of the rows", curves: both.map { curve("row_norm" + $0.0, $0.1, $0.2) }),
    ]
    let figures = plots.compactMap(\.html)
    return figures.isEmpty ? "" : "<div class=\"plots\">\(figures)</div>"
  }

  private var nearest: HTML {
    let histories = run.nearestWords()
    let hasSeveral = Set(histories.map(\.encoder)).count > 1
    let tables = histories.map { nearest($0, ofEncoder: hasSeveral ? " (\($0.encoder.rawValue))" : "") }
    return "\(tables)"
  }

  private func nearest(_ history: NearestWordsHistory, ofEncoder encoder: String) -> HTML {
    guard let vectors = history.snapshots.last?.rows.count else { return "" }
    let rows = history.snapshots.map { snapshot -> [HTML] in
      let cells = snapshot.rows.map { matches -> HTML in
        let words = matches.prefix(3).map { match -> HTML in
          "<li>\(match.piece.replacingOccurrences(of: "</w>", with: "")) <small>\(String(format: "%.2f", match.cosine))</small></li>"
        }
        return "<ol>\(words)</ol>"
      }
      return ["\(time(snapshot.step))"] + cells
    }
    return ReportPieces.table(
      "The vocabulary's words nearest to each vector of \(history.word)\(encoder), with the cosine of the angle between them",
      head: ["Step"] + (0..<vectors).map { "Vector \($0 + 1)" }, rows: rows)
  }

  private var settings: HTML {
    ReportPieces.list(
      report.settings.flattened.filter { !$0.key.hasPrefix("templates") }.sorted { $0.key < $1.key }
        .map { (ReportPieces.words($0.key), $0.value) })
        + """
        <details><summary>The \(report.templates.count) sentences</summary><ul>\
        \(report.templates.map { line -> HTML in "<li>\(line)</li>\n" })</ul></details>
        """
  }

  private var provenance: HTML {
    var pairs: [(name: String, value: String)] = [("Model", report.model)]
    func add(_ name: String, _ value: String?) {
      if let value, !value.isEmpty { pairs.append((name, value)) }
    }
    add("Pictures", report.pictures)
    add("Device", report.device)
    add("Time", report.seconds > 0 ? ReportPieces.duration(report.seconds) : nil)
    add("Most device memory", report.peakBytes > 0 ? "\(report.peakBytes >> 20) MiB" : nil)
    add("Mean loss of the last tenth", ReportPieces.number(report.finalLoss))
    add("Passed over", report.skippedPictures.joined(separator: "; "))
    add("This page is made by", "ti-gpu \(programVersion)")
    let hashes =
      (report.fingerprint?.pictures ?? [:]).sorted { $0.key < $1.key }
      + (report.fingerprint?.model ?? [:]).sorted { $0.key < $1.key }
    let files = hashes.map { file -> HTML in "<li>\(file.key) <code>\(file.value)</code></li>\n" }
    return ReportPieces.list(pairs)
      + (files.isEmpty
        ? "" : "<details><summary>SHA-256 of pictures and model</summary><ul class=\"hashes\">\(files)</ul></details>")
  }
}
