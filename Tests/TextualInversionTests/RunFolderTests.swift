import CPUBackend
import DemoModel
import Foundation
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// A short run of the built-in model.
enum DemoRun {
  static func settings(steps: Int) throws -> TrainingSettings {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<my-cat>", vectors: 1), initializer: "cat", kind: .subject, resolution: 32,
      precision: .float32, method: .plain)
    settings.steps = steps
    return settings
  }

  static func make(
    _ folder: RunFolder, _ settings: TrainingSettings, checkpoints: CheckpointPolicy = CheckpointPolicy(),
    optimizer: (any Optimizer)? = nil, pictures: URL = DemoConcept.myCat.folder,
    report: ReportPolicy = ReportPolicy()
  ) throws -> TrainingRun<CPUBackend> {
    try TrainingRun(
      model: DiffusersFolder(DemoModel.model), pictures: pictures, settings: settings, folder: folder,
      optimizer: optimizer,
      checkpoints: checkpoints, report: report, makeBackend: { try CPUBackend(precision: $0) })
  }

  /// A run from its first step to its last, or on from where it was.
  @discardableResult static func train(_ folder: RunFolder, steps: Int, every: Int? = nil, keep: Int = 3) throws
    -> TrainingRun<CPUBackend>
  {
    let run = try make(folder, settings(steps: steps), checkpoints: CheckpointPolicy(every: every, keep: keep))
    #expect(try run.run() == .finished)
    return run
  }
}

/// What throws is refused with one kind of error, whose line holds these words.
func expectRefusal(
  _ kind: UserError.Kind, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> Void
) {
  let error = #expect(throws: UserError.self, sourceLocation: sourceLocation) { try body() }
  #expect(error?.kind == kind, "\(error.map { "\($0)" } ?? "")", sourceLocation: sourceLocation)
  for word in words {
    #expect(
      error.map { "\($0)".contains(word) } ?? false, "\(error.map { "\($0)" } ?? "")", sourceLocation: sourceLocation)
  }
}

/// A folder is one run's, one process works in it at a time, and nothing is overwritten or mixed.
@Suite(.serialized) struct RunFolderTests {
  private func names(_ folder: URL) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  @Test func aRunLeavesItsFiles() throws {
    try TemporaryFolder.with { parent in
      let url = parent.appendingPathComponent("run")
      try DemoRun.train(RunFolder(new: url), steps: 3, every: 1, keep: 2)
      #expect(
        try names(url) == [
          ".ti-gpu.lock", "checkpoints", "learned_embeds.safetensors", "loss.png", "metrics.csv", "my-cat.safetensors",
          "nearest_words.json", "pictures", "report.html", "training.json",
        ])
      // Of the four checkpoints the newest two are kept.
      #expect(
        try names(url.appendingPathComponent("checkpoints")) == [
          "step-00000002.safetensors", "step-00000003.safetensors",
        ])
      let report = try TrainingReport(url.appendingPathComponent("training.json"))
      #expect(report.state == .finished && report.stepsDone == 3 && report.finalLoss != nil)
      #expect(report.model == DemoModel.model.path && report.pictures == DemoConcept.myCat.folder.path)
      #expect(report.fingerprint?.pictures.count == 5)
    }
  }

  @Test func aNewRunDoesNotTakeAnothersPlace() throws {
    try TemporaryFolder.with { url in
      try DemoRun.train(RunFolder(new: url), steps: 3, every: 1)
      expectRefusal(.cannotCreate, "--resume", "--overwrite") { _ = try RunFolder(new: url) }
      try FileManager.default.removeItem(at: url.appendingPathComponent("learned_embeds.safetensors"))
      expectRefusal(.cannotCreate, "--resume") { _ = try RunFolder(new: url) }
      let previews = url.appendingPathComponent("previews")
      try FileManager.default.createDirectory(at: previews, withIntermediateDirectories: false)
      for name in ["step-000002-1.png", "mine.png"] { try Data().write(to: previews.appendingPathComponent(name)) }
      // With leave, nothing of it stays: a later resume can't go on from it.
      // The word of a run that is thrown away goes as well, whatever it was called.
      var settings = try DemoRun.settings(steps: 1)
      settings.placeholder = try Placeholder("<other>", vectors: 1)
      #expect(try DemoRun.make(RunFolder(new: url, overwriting: true), settings).run() == .finished)
      #expect(
        try names(url).filter { $0.hasSuffix(".safetensors") } == ["learned_embeds.safetensors", "other.safetensors"])
      #expect(try names(previews) == ["mine.png"])
      try DemoRun.train(RunFolder(new: url, overwriting: true), steps: 1)
      #expect(try !names(url).contains("other.safetensors"))
      #expect(try names(url.appendingPathComponent("checkpoints")) == ["step-00000001.safetensors"])
      #expect(MetricsTable(reading: url.appendingPathComponent("metrics.csv")).rows.count == 1)
    }
  }

  /// What is refused before work begins leaves an earlier run as it was, and no folder where there was none.
  @Test func aRunThatDoesNotBeginChangesNothing() throws {
    try TemporaryFolder.with { parent in
      let url = parent.appendingPathComponent("run")
      expectRefusal(.noInput) {
        _ = try DemoRun.make(
          RunFolder(new: url), DemoRun.settings(steps: 1), pictures: parent.appendingPathComponent("none"))
      }
      #expect(try names(parent).isEmpty)
      try DemoRun.train(RunFolder(new: url), steps: 1)
      let before = try Data(contentsOf: url.appendingPathComponent("training.json"))
      expectRefusal(.noInput) {
        _ = try DemoRun.make(
          RunFolder(new: url, overwriting: true), DemoRun.settings(steps: 1),
          pictures: parent.appendingPathComponent("none"))
      }
      #expect(try Data(contentsOf: url.appendingPathComponent("training.json")) == before)
      #expect(try names(url.appendingPathComponent("checkpoints")) == ["step-00000001.safetensors"])
    }
  }

  @Test func oneWorksInAFolderAtATime() throws {
    try TemporaryFolder.with { url in
      let first = try DemoRun.make(RunFolder(new: url), DemoRun.settings(steps: 1))
      expectRefusal(.cannotCreate, "another process \(getpid())") {
        _ = try DemoRun.make(RunFolder(new: url), DemoRun.settings(steps: 1))
      }
      expectRefusal(.cannotCreate, "another process") { _ = try RunFolder(resuming: url) }
      #expect(try first.run() == .finished)
    }
  }

  /// Between looking at a folder and taking it another may have run in it to its end.
  @Test func aRunThatCameInBetweenIsNotThrownAway() throws {
    try TemporaryFolder.with { url in
      let late = try RunFolder(new: url)
      do { try DemoRun.train(RunFolder(new: url), steps: 1) }
      expectRefusal(.cannotCreate, "holds a run already") { _ = try DemoRun.make(late, DemoRun.settings(steps: 1)) }
      #expect(MetricsTable(reading: url.appendingPathComponent("metrics.csv")).rows.count == 1)
    }
  }

  /// AdamW's rate, given to spherical training out of habit, is an angle that leads nowhere.
  @Test func aShortWayOnTheSphereIsSaid() throws {
    for (rate, steps, isSaid) in [(Float(5e-3), 2000, true), (0.16, 250, false), (0.5, 120, false)] {
      var settings = TrainingSettings(
        placeholder: try Placeholder("<toy>", vectors: 1), initializer: "toy", kind: .object, resolution: 64,
        precision: .float32)
      settings.learningRate = rate
      settings.steps = steps
      #expect(settings.warnings.contains { $0.contains("--method") } == isSaid)
      settings.method = .plain
      #expect(settings.warnings.isEmpty)
    }
  }

  @Test func whereNoRunIsNoneIsGoneOnWith() throws {
    try TemporaryFolder.with { url in
      expectRefusal(.noInput, "no such folder") { _ = try RunFolder(resuming: url.appendingPathComponent("none")) }
      expectRefusal(.noInput, "no checkpoint and no training.json") { _ = try RunFolder(resuming: url) }
    }
  }

  /// The newest checkpoint that can be read is gone on from.
  @Test func aDamagedCheckpointIsPassedOver() throws {
    try TemporaryFolder.with { parent in
      let unbroken = parent.appendingPathComponent("unbroken")
      let damaged = parent.appendingPathComponent("damaged")
      try DemoRun.train(RunFolder(new: unbroken), steps: 4)
      try DemoRun.train(RunFolder(new: damaged), steps: 4, every: 1)
      let checkpoints = damaged.appendingPathComponent("checkpoints")
      for name in ["step-00000004.safetensors", "step-00000003.safetensors"] {
        try Data("no checkpoint".utf8).write(to: checkpoints.appendingPathComponent(name))
      }
      var warnings: [String] = []
      do {
        let folder = try RunFolder(resuming: damaged, warn: { warnings.append($0) })
        #expect(folder.earlier?.checkpoint?.state.step == 2)
        #expect(warnings.count == 2 && warnings[0].contains("step-00000004"))
        try DemoRun.train(folder, steps: 4)
      }
      for name in ["learned_embeds.safetensors", "metrics.csv"] {
        #expect(
          try Data(contentsOf: damaged.appendingPathComponent(name))
            == Data(contentsOf: unbroken.appendingPathComponent(name)), "\(name)")
      }
      for name in try names(checkpoints) { try Data().write(to: checkpoints.appendingPathComponent(name)) }
      expectRefusal(.badData, "none of the 3 checkpoints") { _ = try RunFolder(resuming: damaged) }
    }
  }

  /// A run that was killed before its first checkpoint begins again by its report.
  @Test func theReportAloneIsEnough() throws {
    try TemporaryFolder.with { url in
      try DemoRun.train(RunFolder(new: url), steps: 2)
      let word = try Data(contentsOf: url.appendingPathComponent("learned_embeds.safetensors"))
      try FileManager.default.removeItem(at: url.appendingPathComponent("checkpoints"))
      let folder = try RunFolder(resuming: url)
      #expect(folder.earlier?.checkpoint == nil)
      #expect(folder.earlier?.settings == (try DemoRun.settings(steps: 2)))
      try DemoRun.train(folder, steps: 2)
      #expect(try Data(contentsOf: url.appendingPathComponent("learned_embeds.safetensors")) == word)
    }
  }

  @Test func whatIsAskedForMustFitTheRun() throws {
    try TemporaryFolder.with { url in
      try DemoRun.train(RunFolder(new: url), steps: 3)
      var settings = try DemoRun.settings(steps: 3)
      settings.batchSize = 2
      settings.seed = 5
      expectRefusal(.usage, "batch_size (1, not 2)", "seed (0, not 5)") {
        _ = try DemoRun.make(RunFolder(resuming: url), settings)
      }
      expectRefusal(.usage, "has done 3 steps") {
        _ = try DemoRun.make(RunFolder(resuming: url), DemoRun.settings(steps: 2))
      }
      expectRefusal(.usage, "adamw", "standstill") {
        _ = try DemoRun.make(RunFolder(resuming: url), DemoRun.settings(steps: 4), optimizer: Standstill())
      }
    }
  }

  @Test func moreStepsUnderAFallingScheduleAreSaidToRaiseTheRate() throws {
    try TemporaryFolder.with { url in
      var settings = try DemoRun.settings(steps: 2)
      settings.schedule = .cosine
      do { #expect(try DemoRun.make(RunFolder(new: url), settings).run() == .finished) }
      settings.steps = 4
      var warnings: [String] = []
      let outcome = try DemoRun.make(RunFolder(resuming: url), settings).run { event, _ in
        if case .warned(let line) = event { warnings.append(line) }
      }
      #expect(outcome == .finished)
      #expect(warnings.count == 1 && warnings[0].contains("goes up again"))
    }
  }
}

/// A rule of update that leaves everything as it is.
struct Standstill: Optimizer {
  var name: String { "standstill" }
  func initialState(for rows: HostTensor) -> OptimizerState { OptimizerState(scalars: ["updates": 0]) }
  func update(
    _ rows: inout HostTensor, gradient: RowGradient, state: inout OptimizerState, step: Int, learningRate: Float
  ) {
    state.scalars["updates", default: 0] += 1
  }
}
