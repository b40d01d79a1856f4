import ArgumentParser
import Foundation
import ModelFiles
import Tensors
import TextualInversion

/// `ti-gpu report`: a run's page made again, or several runs side by side on one.
struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes a run's report.html again, or compares runs on one page.",
    discussion: """
        ti-gpu report run
        ti-gpu report run-a run-b run-c --output comparison.html

      The page is one file that needs nothing else, to be opened in a browser.
      """)

  @Argument(help: ArgumentHelp("The --output folders of runs.", valueName: "run"))
  var runs: [PathArgument]
  @Option(
    help: ArgumentHelp(
      "Where the page goes (report.html in the run's folder; of several runs comparison.html here).", valueName: "file")
  )
  var output: PathArgument?
  @Flag(help: "Print JSON on standard output.")
  var json = false

  private struct Result: Encodable {
    let report: String
    let runs: [String]
  }

  func run() throws {
    var records: [RunRecord] = []
    for run in runs { records.append(try RunRecord(run.url)) }
    let file = output?.url ?? (records.count == 1 ? records[0].folder.page : URL(fileURLWithPath: "comparison.html"))
    try AtomicFile.write(Data(ReportPage(records).html.utf8), to: file)
    if json {
      try Console.json(Result(report: file.path, runs: records.map(\.folder.url.path)))
    } else {
      try Console.result(file.path)
    }
  }
}
