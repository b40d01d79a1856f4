import Foundation
import ModelFiles
import Tensors

/// The page of several runs side by side.
struct ComparisonSections {
  let runs: [RunRecord]
  let names: [String]
  let pictures: ReportPage.Pictures

  /// The style knows so many colours.
  private static let colors = 8

  func html(_ title: String) -> HTML {
    """
    <main>
    <header><h1>\(title)</h1></header>
    \(ReportPieces.section("Results", results))\
    \(ReportPieces.section("Last previews", previews))\
    \(ReportPieces.section("Curves", curves))\
    \(ReportPieces.section("Settings that differ", settings))\
    </main>
    """
  }

  private var results: HTML {
    let rows = zip(names, runs).map { name, run -> [HTML] in
      let report = run.report
      let heldOut = run.metrics.values("held_out_loss").map(\.y)
      let cells = [
        run.words, run.state, run.stepsText, ReportPieces.duration(report.seconds),
        ReportPieces.number(report.finalLoss), ReportPieces.number(heldOut.min()), report.device ?? "",
      ]
      return ["\(name)"] + cells.map { cell -> HTML in "\(cell)" }
    }
    return ReportPieces.table(
      "What came of the runs",
      head: ["Run", "Word", "State", "Steps", "Time", "Loss, last tenth", "Held-out loss, lowest", "Device"], rows: rows
    )
  }

  /// For each prompt that a run has previews of, every run's picture of it with the word that it left, else its last.
  private var previews: HTML {
    let all = runs.map { $0.previews() }
    var prompts: [String] = []
    for row in all.joined() where !prompts.contains(row.prompt) { prompts.append(row.prompt) }
    let rows = prompts.map { prompt -> HTML in
      let figures = zip(zip(names, runs), all).compactMap { run, rows -> HTML? in
        let pictures = rows.first { $0.prompt == prompt }?.pictures ?? []
        guard let last = pictures.last(where: { $0.step == run.1.report.resultStep }) ?? pictures.last else {
          return nil
        }
        return ReportPieces.figure(
          last.url, alt: "“\(prompt)” of the run \(run.0), step \(last.step)",
          caption: "\(run.0), step \(last.step)", self.pictures)
      }
      return "<h3>\(prompt)</h3>\n<div class=\"pictures\">\(figures)</div>\n"
    }
    return "\(rows)"
  }

  private var curves: HTML {
    func curve(_ index: Int, _ points: [(x: Double, y: Double)]) -> CurvePlot.Curve {
      CurvePlot.Curve(label: names[index], points: points, color: index % Self.colors)
    }
    func curves(_ column: String) -> [CurvePlot.Curve] {
      runs.indices.map { curve($0, runs[$0].metrics.values(column)) }
    }
    let losses = curves("loss").map { curve in
      var curve = curve
      curve.isSmoothed = true
      return curve
    }
    let heldOut = runs.indices.map { index in
      var curve = curve(index, runs[index].heldOutLosses)
      curve.isMarked = true
      return curve
    }
    let ofLosses = [
      CurvePlot(title: "Training loss, running mean", curves: losses, showsValues: false),
      CurvePlot(title: "Held-out loss, the initializer’s at step 0", curves: heldOut),
    ]
    // A model with one text encoder has no columns of the second, and no plot.
    let ofRows = [("", ""), ("_2", ", second text encoder")].flatMap { column, encoder in
      [
        CurvePlot(
          title: "Angle from the initial rows" + encoder, unit: "degrees", curves: curves("row_angle" + column)),
        CurvePlot(title: "Length of the rows" + encoder, curves: curves("row_norm" + column)),
      ]
    }
    let figures = (ofLosses + ofRows).compactMap(\.html)
    return figures.isEmpty ? "" : "<div class=\"plots\">\(figures)</div>"
  }

  private var settings: HTML {
    var all = runs.map(\.report.settings.flattened)
    for (index, run) in runs.enumerated() {
      all[index]["model"] = run.report.model
      all[index]["pictures"] = run.report.pictures
    }
    let differing = Set(all.flatMap(\.keys)).filter { key in Set(all.map { $0[key] }).count > 1 }.sorted()
    if differing.isEmpty { return "<p>None: the runs were asked for the same.</p>" }
    return ReportPieces.table(
      "Each setting that is not the same in all runs", head: ["Setting"] + names,
      rows: differing.map { key in
        ["\(ReportPieces.words(key))"] + all.map { settings -> HTML in "\(settings[key] ?? "none")" }
      })
  }
}
