import DemoModel
import Foundation
import Images
import ModelFiles
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// What a run writes down, held against its own steps and against the definitions of the columns.
@Suite(.serialized) struct RunFilesTests {
  private static let steps = 20

  /// Trains in `folder`; the steps' results, and the row before the first.
  private func train(in folder: URL) throws -> (results: [StepResult], start: [Float]) {
    var settings = try DemoRun.settings(steps: Self.steps)
    settings.accumulation = 2
    settings.schedule = .linear
    settings.warmupSteps = 4
    settings.learningRate = 1e-2
    settings.seed = 9
    var results: [StepResult] = []
    var start: [Float] = []
    _ = try DemoRun.make(RunFolder(new: folder), settings).run { event, run in
      if case .started = event { start = run.embeddings[0].rows[.textEncoder]?.values ?? [] }
      if case .stepped(let result) = event { results.append(result) }
    }
    return (results, start)
  }

  @Test func metricsAreTheSteps() throws {
    try TemporaryFolder.with { folder in
      let (results, start) = try train(in: folder)
      let text = try String(contentsOf: folder.appendingPathComponent("metrics.csv"), encoding: .utf8)
      let lines = text.split(separator: "\n").map { $0.split(separator: ",").map(String.init) }
      #expect(
        lines.first == [
          "step", "loss", "learning_rate", "gradient_norm", "row_norm", "row_angle", "loss_scale", "held_out_loss",
        ])
      #expect(text.hasSuffix("\n") && lines.count == 1 + Self.steps && results.count == Self.steps)
      let word = ParameterName(.textEncoder, try DemoRun.settings(steps: 1).placeholder.word)
      func norm(_ values: [Float]) -> Double { values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }
      func angle(_ a: [Float], _ b: [Float]) -> Double {
        acos(zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } / (norm(a) * norm(b))) * 180 / .pi
      }
      for (index, (line, result)) in zip(lines.dropFirst(), results).enumerated() {
        // Linear after a warm-up: diffusers' `get_scheduler("linear")`.
        let factor = index < 4 ? Double(index) / 4 : Double(Self.steps - index) / Double(Self.steps - 4)
        let row = try #require(result.parameters[word]).values
        let expected = [
          Double(index + 1), Double(result.loss), 1e-2 * factor, norm(try #require(result.gradients[word]).values),
          norm(row), row == start ? 0 : angle(row, start), 1,
        ]
        for (field, value) in zip(line, expected) {
          let found = try #require(Double(field))
          #expect(abs(found - value) <= 1e-6 * abs(value), "line \(line), not \(expected)")
        }
      }
      #expect(Set(results.map(\.loss)).count == Self.steps)
    }
  }

  @Test func theReportSaysWhatWasAskedAndWhatCameOfIt() throws {
    try TemporaryFolder.with { folder in
      let results = try train(in: folder).results
      let data = try Data(contentsOf: folder.appendingPathComponent("training.json"))
      let report = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
      let settings = try #require(report["settings"] as? [String: Any])
      #expect(settings["steps"] as? Int == Self.steps && settings["accumulation"] as? Int == 2)
      #expect(settings["schedule"] as? String == "linear" && settings["warmup_steps"] as? Int == 4)
      #expect(settings["seed"] as? Int == 9 && settings["initializer"] as? String == "cat")
      #expect(report["templates"] as? [String] == ConceptKind.subject.templates)
      #expect(report["model"] as? String == DemoModel.model.path)
      #expect(report["state"] as? String == "finished" && report["steps_done"] as? Int == Self.steps)
      // The last tenth of twenty steps.
      let last = (Double(results[18].loss) + Double(results[19].loss)) / 2
      #expect(try abs(#require(report["final_loss"] as? Double) - last) <= 1e-6 * last)
      #expect((report["peak_bytes"] as? Int).map { $0 > 1 << 20 } == true)
      #expect((report["seconds"] as? Double).map { $0 > 0 } == true)
      let fingerprint = try #require(report["fingerprint"] as? [String: Any])
      let pictures = try #require(fingerprint["pictures"] as? [String: String])
      #expect(pictures.keys.sorted() == ["1.png", "2.png", "3.png", "4.png", "5.png"])
      // A hash of 64 digits for each, and none like another.
      #expect(
        Set(pictures.values).count == 5 && pictures.values.allSatisfy { $0.count == 64 && $0.allSatisfy(\.isHexDigit) })
      let curve = try Picture(contentsOf: folder.appendingPathComponent("loss.png"))
      #expect(Set(curve.pixels).count > 2, "the curve is blank")
    }
  }
}
