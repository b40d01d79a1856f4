import CPUBackend
import DemoModel
import Foundation
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// A run tells everything that happens, in order, and keeps what it had whatever ends it.
@Suite(.serialized) struct RunEventTests {
  private struct Trouble: Error {}

  private func name(_ event: RunEvent) -> String {
    switch event {
    case .encoded(let done, let total): "encoded \(done)/\(total)"
    case .started: "started"
    case .searched: "searched"
    case .found(let words): "found \(words.text)"
    case .evaluated(let measured): "evaluated \(measured.step)"
    case .stepped(let result): "stepped \(result.step)"
    case .rolledBack(let step): "back to \(step)"
    case .checkpointed(let step, _): "checkpointed \(step)"
    case .previewing(let done, let total): "previewing \(done)/\(total)"
    case .previewed(let step, let files): "previewed \(step) \(files.map(\.lastPathComponent))"
    case .warned(let line): "warned \(line)"
    case .ended(.finished): "finished"
    case .ended(.stopped): "stopped"
    case .ended(.failed(let error)): "failed \(error)"
    }
  }

  @Test func eventsComeInOrder() throws {
    try TemporaryFolder.with { url in
      var events: [String] = []
      _ = try DemoRun.make(
        RunFolder(new: url), DemoRun.settings(steps: 3), checkpoints: CheckpointPolicy(every: 2)
      ).run { event, _ in events.append(name(event)) }
      #expect(
        events == (0...5).map { "encoded \($0)/5" }
          + [
            "started", "evaluated 0", "stepped 1", "checkpointed 2", "stepped 2", "evaluated 3", "stepped 3",
            "checkpointed 3",
            "finished",
          ])
    }
  }

  /// After three steps the run is ended in every way there is; each time a run on from there ends in the unbroken one's bytes.
  @Test(arguments: ["stop", "error", "not a number", "killed"]) func whateverEndsItKeepsTheWork(_ ending: String) throws
  {
    try TemporaryFolder.with { parent in
      let unbroken = parent.appendingPathComponent("unbroken")
      let url = parent.appendingPathComponent("ended")
      try DemoRun.train(RunFolder(new: unbroken), steps: 6)
      do {
        let optimizer: (any Optimizer)? = ending == "not a number" ? BreaksAt(step: 4) : nil
        let run = try DemoRun.make(
          RunFolder(new: url), DemoRun.settings(steps: 6), checkpoints: CheckpointPolicy(every: 2), optimizer: optimizer
        )
        var ends: [String] = []
        let observe: (RunEvent, RunContext) throws -> Void = { event, run in
          if case .ended = event { ends.append(name(event)) }
          guard case .stepped(let result) = event, result.step == 3 else { return }
          switch ending {
          case "stop": run.requestStop()
          case "error", "killed": throw Trouble()
          default: break
          }
        }
        switch ending {
        case "stop":
          #expect(try run.run(observe) == .stopped)
          #expect(ends == ["stopped"])
        case "not a number": expectRefusal(.badData, "step 4", "learning rate") { _ = try run.run(observe) }
        default:
          #expect(throws: Trouble.self) { try run.run(observe) }
          #expect(ends == ["failed Trouble()"])
        }
        #expect(run.stepsDone == 3)
      }
      if ending == "killed" {
        // What a kill leaves: no last checkpoint, and a line that was cut.
        try FileManager.default.removeItem(at: url.appendingPathComponent("checkpoints/step-00000003.safetensors"))
        let metrics = url.appendingPathComponent("metrics.csv")
        try (Data(contentsOf: metrics) + Data("4,0.0".utf8)).write(to: metrics)
      } else {
        let words = try EmbeddingFile.read(url.appendingPathComponent("learned_embeds.safetensors"))
        #expect(words.map(\.word) == ["<my-cat>"])
        #expect(MetricsTable(reading: url.appendingPathComponent("metrics.csv")).rows.count == 3)
        let report = try TrainingReport(url.appendingPathComponent("training.json"))
        #expect(report.state == (ending == "stop" ? .stopped : .failed) && report.stepsDone == 3)
        #expect((report.error == nil) == (ending == "stop"))
      }
      let folder = try RunFolder(resuming: url)
      #expect(folder.earlier?.checkpoint?.state.step == (ending == "killed" ? 2 : 3))
      try DemoRun.train(folder, steps: 6)
      for name in ["learned_embeds.safetensors", "metrics.csv", "checkpoints/step-00000006.safetensors"] {
        #expect(
          try Data(contentsOf: url.appendingPathComponent(name))
            == Data(contentsOf: unbroken.appendingPathComponent(name)),
          "\(name)")
      }
    }
  }

  /// A rule of update of somebody's own runs, and what it remembers comes back.
  @Test func anyRuleOfUpdateTrains() throws {
    try TemporaryFolder.with { url in
      let settings = try DemoRun.settings(steps: 4)
      let first = try DemoRun.make(RunFolder(new: url), settings, optimizer: Standstill()).run { event, run in
        if case .stepped(let result) = event, result.step == 2 { run.requestStop() }
      }
      #expect(first == .stopped)
      let run = try DemoRun.make(RunFolder(resuming: url), settings, optimizer: Standstill())
      #expect(try run.run() == .finished)
      let checkpoint = try Checkpoint(url.appendingPathComponent("checkpoints/step-00000004.safetensors"))
      #expect(Array(checkpoint.state.optimizer.values) == [OptimizerState(scalars: ["updates": 4])])
      #expect(checkpoint.optimizer == "standstill")
    }
  }

  /// Rows that run away are a failure, not a word.
  @Test func rowsThatDivergeEndTheRun() throws {
    try TemporaryFolder.with { url in
      let run = try DemoRun.make(RunFolder(new: url), DemoRun.settings(steps: 4), optimizer: BreaksAt(step: 2, by: 1e6))
      expectRefusal(.badData, "diverges", "step 2") { _ = try run.run() }
      #expect(run.stepsDone == 1)
      let word = try #require(EmbeddingFile.read(url.appendingPathComponent("learned_embeds.safetensors")).first)
      #expect(word.rows[.textEncoder]?.values.allSatisfy { abs($0) < 10 } == true)
    }
  }

  /// The folder goes away while training: what was there is written again, and said.
  @Test func aFolderThatGoesAwayIsMadeAgain() throws {
    try TemporaryFolder.with { parent in
      let unbroken = parent.appendingPathComponent("unbroken")
      let url = parent.appendingPathComponent("gone")
      try DemoRun.train(RunFolder(new: unbroken), steps: 4)
      var warnings: [String] = []
      let outcome = try DemoRun.make(RunFolder(new: url), DemoRun.settings(steps: 4)).run { event, _ in
        if case .warned(let line) = event { warnings.append(line) }
        if case .stepped(let result) = event, result.step == 2 { try FileManager.default.removeItem(at: url) }
      }
      #expect(outcome == .finished)
      #expect(warnings.count == 1 && warnings[0].contains("metrics.csv"))
      try expectSameFiles(["learned_embeds.safetensors", "metrics.csv", "loss.png"], url, unbroken)
    }
  }

  /// A word that is never seen, or a row of it, would leave a gradient of exactly nothing: refused before the first step.
  @Test func whatCannotLearnIsRefused() throws {
    try TemporaryFolder.with { url in
      let long = Array(repeating: "a", count: 80).joined(separator: " ")
      var settings = try DemoRun.settings(steps: 1)
      settings.templates = ["a photo of {}", long + " {}"]
      expectRefusal(.badData, "behind the last of 75") { _ = try DemoRun.make(RunFolder(new: url), settings) }
      settings.placeholder = try Placeholder("<my-cat>", vectors: 3)
      settings.templates = [Array(repeating: "a", count: 74).joined(separator: " ") + " {}"]
      expectRefusal(.badData, "vector 2 of the 3 of '<my-cat>'") { _ = try DemoRun.make(RunFolder(new: url), settings) }
      #expect(try FileManager.default.contentsOfDirectory(atPath: url.path).isEmpty)
    }
  }
}

/// AdamW, whose update at one step ends in numbers that are none, or in rows far from any word.
private struct BreaksAt: Optimizer {
  let step: Int
  var by = Float.nan
  var name: String { "adamw" }
  func initialState(for rows: HostTensor) -> OptimizerState { AdamW().initialState(for: rows) }
  func update(
    _ rows: inout HostTensor, gradient: RowGradient, state: inout OptimizerState, step: Int, learningRate: Float
  ) {
    AdamW().update(&rows, gradient: gradient, state: &state, step: step, learningRate: learningRate)
    if step == self.step { rows.values[0] = by }
  }
}

/// `metrics.csv` is read by the names in its header.
@Suite struct MetricsTableTests {
  private func table(_ text: String) throws -> MetricsTable {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("metrics.csv")
      try Data(text.utf8).write(to: file)
      return MetricsTable(reading: file)
    }
  }

  @Test func columnsGoByTheirNames() throws {
    let table = try table("loss,colour,step\n0.5,red,1\n0.25,,2\n")
    let losses = table.values("loss")
    #expect(losses.map(\.x) == [1, 2] && losses.map(\.y) == [0.5, 0.25])
  }

  @Test func linesThatAreNotWholeAreLeftOut() throws {
    #expect(try table("step,loss\n1,0.5\nx,0.5\n2\n3,0.25\n4,0.1").rows == [["1", "0.5"], ["3", "0.25"]])
    #expect(try table("").rows.isEmpty)
    #expect(try table("a,b\n1,2\n").rows.isEmpty)
  }

  /// A column more or less than the program writes loses nothing of an earlier file.
  @Test func otherColumnsAreKept() throws {
    var table = try table("step,loss,colour\n1,0.5,red\n2,0.25,blue\n3,0.1,green\n")
    table.removeSteps(after: 2)
    table.add(columns: ["step", "loss", "rate"])
    #expect(table.append(["step": "3", "rate": "1", "loss": "0.2"]) == "3,0.2,,1\n")
    #expect(table.text == "step,loss,colour,rate\n1,0.5,red,\n2,0.25,blue,\n3,0.2,,1\n")
  }
}
