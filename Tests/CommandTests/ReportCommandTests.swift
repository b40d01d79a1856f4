import Foundation
import ModelFiles
import TestSupport
import Testing

/// `ti-gpu report`, and what `train` draws and keeps for it.
@Suite(.serialized) struct ReportCommandTests {
  private func train(_ folder: URL, _ more: String...) throws {
    let result = try Program.run(
      [
        "train", "--model", "demo", "--images", "demo:my-cat", "--token", "<toy>", "--initializer", "cat", "--output",
        folder.path, "--steps", "2", "--resolution", "32", "--batch-size", "1", "--device", "cpu", "--held-out", "0",
      ] + more)
    #expect(
      result.code == 0 && result.error.contains("The whole run on a page: \(folder.path)/report.html\n"),
      "\(result.error)")
  }

  @Test func pagesAreMadeAgainAndOfSeveralRuns() throws {
    try TemporaryFolder.with { parent in
      let (a, b) = (parent.appendingPathComponent("a"), parent.appendingPathComponent("b"))
      try train(
        a, "--preview-every", "1", "--preview-prompt", "a {}", "--preview-prompt", "<toy>", "--preview-negative", "red",
        "--tensorboard")
      try train(b, "--seed", "1")
      let previews = try FileManager.default.contentsOfDirectory(atPath: a.appendingPathComponent("previews").path)
        .sorted()
      #expect(previews == (0...2).flatMap { ["step-00000\($0)-1.png", "step-00000\($0)-2.png"] })
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: a.appendingPathComponent("tensorboard").path).count == 1)
      #expect(!b.appendingPathComponent("previews").isThere && !b.appendingPathComponent("tensorboard").isThere)

      // Of the same folder the same page.
      let page = a.appendingPathComponent("report.html")
      let before = try Data(contentsOf: page)
      try FileManager.default.removeItem(at: page)
      let again = try Program.run(["report", a.path])
      #expect(again.code == 0 && again.output == page.path + "\n", "\(again.error)")
      #expect(try Data(contentsOf: page) == before)

      // Going on keeps what was asked for.
      let resumed = try Program.run(["train", "--resume", a.path, "--steps", "3"])
      #expect(resumed.code == 0 && a.appendingPathComponent("previews/step-000003-2.png").isThere, "\(resumed.error)")
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: a.appendingPathComponent("tensorboard").path).count == 2)

      let file = parent.appendingPathComponent("both.html")
      let both = try Program.run(["report", a.path, b.path, "--output", file.path, "--json"])
      let document = try JSONSerialization.jsonObject(with: Data(both.output.utf8)) as? [String: Any]
      #expect(both.code == 0 && document?["report"] as? String == file.path, "\(both.error)")
      #expect(document?["runs"] as? [String] == [a.path, b.path])
      #expect(try String(contentsOf: file, encoding: .utf8).contains("<h1>2 runs: a, b</h1>"))
    }
  }

  @Test func whatIsNoRunIsRefused() throws {
    try TemporaryFolder.with { folder in
      let result = try Program.run(["report", folder.path])
      #expect(result.code == 66 && result.error.contains("no run to report on"), "\(result.error)")
      try Data("[]".utf8).write(to: folder.appendingPathComponent("training.json"))
      #expect(try Program.run(["report", folder.path]).code == 65)
      #expect(try Program.run(["report"]).code == 64)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["training.json"])
    }
  }
}
