import CPUBackend
import DemoModel
import Foundation
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// Whatever happens while training, what was learned is kept: numbers that are none, a device that is lost, memory that is not there,
/// a disk that takes nothing.
@Suite(.serialized) struct RecoveryTests {
  /// A run on a backend that is tampered with.
  private func run(
    _ folder: RunFolder, _ settings: TrainingSettings, _ tampering: Tampering = Tampering(), every: Int? = nil,
    optimizer: (any Optimizer)? = nil, report: ReportPolicy = ReportPolicy()
  ) throws -> TrainingRun<Tampered<CPUBackend>> {
    try TrainingRun(
      model: DiffusersFolder(DemoModel.model), pictures: DemoConcept.myCat.folder, settings: settings, folder: folder,
      optimizer: optimizer, checkpoints: CheckpointPolicy(every: every),
      report: report, makeBackend: { Tampered(try CPUBackend(precision: $0), tampering) })
  }

  private func column(_ name: String, of folder: URL) throws -> [String] {
    let table = MetricsTable(reading: folder.appendingPathComponent("metrics.csv"))
    let index = try #require(table.columns.firstIndex(of: name))
    return table.rows.map { $0[index] }
  }

  // MARK: - Numbers

  /// Once, behind step 3: a loss or a gradient that is none says that the rows may be bad, so the run goes back to those before them; what
  /// the update breaks never becomes the state.
  @Test(arguments: [("loss", 2), ("gradient", 2), ("rows", 3), ("held-out loss", 3)]) func troubleOnceIsGotOver(
    _ what: String, back: Int
  ) throws {
    try TemporaryFolder.with { url in
      var settings = try DemoRun.settings(steps: 6)
      settings.schedule = .linear
      let tampering = Tampering()
      var (isArmed, isLossSeen) = (false, false)
      if what == "held-out loss" { settings.heldOut.every = 4 }
      tampering.download = { tensor in
        // A loss is one number, a gradient a row of the encoder's width.
        guard isArmed, what.hasSuffix("loss") ? tensor.shape == [1] : what == "gradient" && tensor.shape.rank == 2
        else {
          return tensor
        }
        // Of the measurement behind step 4 the loss of the step itself is the one before.
        guard what != "held-out loss" || isLossSeen else {
          isLossSeen = true
          return tensor
        }
        isArmed = false
        return HostTensor(repeating: what == "gradient" ? .infinity : .nan, tensor.shape)
      }
      var warnings: [String] = []
      var backs: [Int] = []
      let outcome = try run(
        RunFolder(new: url), settings, tampering, every: 1,
        optimizer: what == "rows" ? Breaks(at: 4, above: 2.5e-3 - 1e-6) : nil
      ).run { event, _ in
        switch event {
        case .stepped(let result) where result.step == 3 && backs.isEmpty: isArmed = true
        case .rolledBack(let step):
          backs.append(step)
          // No checkpoint of what is taken back stays.
          let names = try FileManager.default.contentsOfDirectory(
            atPath: url.appendingPathComponent("checkpoints").path)
          #expect(names.max() == "step-0000000\(step).safetensors")
        case .warned(let line): warnings.append(line)
        default: break
        }
      }
      #expect(outcome == .finished && backs == [back])
      #expect(warnings.count == 1 && warnings[0].contains("back to step \(back)"), "\(warnings)")
      #expect(try column("step", of: url) == (1...6).map(String.init))
      // A linear fall from 5e-3 over six steps, at half of it behind the trouble.
      for (index, text) in try column("learning_rate", of: url).enumerated() {
        let expected = 5e-3 * Double(6 - index) / 6 * (index < back ? 1 : 0.5)
        #expect(try abs(#require(Double(text)) - expected) <= 1e-6 * expected)
      }
    }
  }

  /// Again and again: after five attempts the run ends with the word of the last good step, and a run that goes on from there without the
  /// trouble ends in the bytes of one that never had any.
  @Test func troubleThatStaysEndsTheRun() throws {
    try TemporaryFolder.with { parent in
      let unbroken = parent.appendingPathComponent("unbroken")
      let url = parent.appendingPathComponent("ended")
      let settings = try DemoRun.settings(steps: 5)
      do { #expect(try run(RunFolder(new: unbroken), settings).run() == .finished) }
      let tampering = Tampering()
      var isArmed = false
      tampering.download = { isArmed && $0.shape == [1] ? HostTensor(repeating: .infinity, $0.shape) : $0 }
      var warnings = 0
      do {
        let run = try run(
          RunFolder(new: url), settings, tampering, every: 1,
          report: ReportPolicy(previews: PreviewPolicy(every: 3), tensorBoard: true))
        expectRefusal(.badData, "step 3", "5 times", "learning rate") {
          _ = try run.run { event, _ in
            if case .stepped(let result) = event, result.step == 3 { isArmed = true }
            if case .warned = event { warnings += 1 }
          }
        }
        #expect(warnings == 5 && run.stepsDone == 2)
      }
      #expect(try TrainingReport(url.appendingPathComponent("training.json")).state == .failed)
      #expect(try column("step", of: url) == ["1", "2"])
      #expect(try EmbeddingFile.read(url.appendingPathComponent("learned_embeds.safetensors")).count == 1)
      try expectNothingBehind(step: 2, in: url)
      do {
        let folder = try RunFolder(resuming: url)
        #expect(folder.earlier?.checkpoint?.state.step == 2)
        #expect(try run(folder, settings).run() == .finished)
      }
      try expectSameFiles(["learned_embeds.safetensors", "metrics.csv"], url, unbroken)
    }
  }

  /// What was drawn and kept of steps that were taken back is gone, or is taken back as well.
  private func expectNothingBehind(step: Int, in url: URL) throws {
    let folder = RunFolder(reading: url)
    #expect(folder.previewFiles().map(\.step) == [0])
    let near = try #require(NearestWordsHistory.all(reading: folder.nearestWords).first)
    #expect(near.snapshots.map(\.step) == [0, step])
    let events = try Data(contentsOf: try #require(folder.eventFiles().first))
    // Without the time it was written at, and what checks that: the step and what is said of it.
    let restart = TensorBoardEvent(wallTime: 1, step: step + 1, content: .restart).record.dropFirst(12 + 9).dropLast(4)
    #expect(events.firstRange(of: restart) != nil)
  }

  /// What the run knows of its trouble is in its checkpoint: stopped in the midst of it, it goes on to the same bytes.
  @Test(arguments: [2, 3, 4, 5]) func aResumedRunRemembersItsTrouble(stop: Int) throws {
    try TemporaryFolder.with { parent in
      let unbroken = parent.appendingPathComponent("unbroken")
      let url = parent.appendingPathComponent("broken")
      let settings = try DemoRun.settings(steps: 6)
      // Two halvings.
      let optimizer = Breaks(at: 4, above: 2e-3)
      do { #expect(try run(RunFolder(new: unbroken), settings, optimizer: optimizer).run() == .finished) }
      do {
        let outcome = try run(RunFolder(new: url), settings, optimizer: optimizer).run { event, run in
          if case .stepped(let result) = event, result.step == stop { run.requestStop() }
        }
        #expect(outcome == .stopped)
      }
      do { #expect(try run(RunFolder(resuming: url), settings, optimizer: optimizer).run() == .finished) }
      try expectSameFiles(
        ["learned_embeds.safetensors", "metrics.csv", "checkpoints/step-00000006.safetensors"], url, unbroken)
      #expect(try column("learning_rate", of: url).last.flatMap(Double.init) == 1.25e-3)
    }
  }

  // MARK: - The device

  /// Lost while pictures are encoded, while the model is loaded or the first loss taken, in the first step or a later one, and again three hundred
  /// operations later: the run goes on, on another backend, to the bytes of one that lost none.
  @Test(arguments: ["begun", "encoded", "started", "stepped"]) func aLostDeviceIsMadeReadyAgain(behind name: String)
    throws
  {
    try TemporaryFolder.with { parent in
      let unbroken = parent.appendingPathComponent("unbroken")
      let url = parent.appendingPathComponent("lost")
      let settings = try DemoRun.settings(steps: 5)
      do { #expect(try run(RunFolder(new: unbroken), settings).run() == .finished) }
      let tampering = Tampering()
      var operations: Int?
      tampering.fault = { name throws(OperationError) in
        operations = operations.map { $0 + 1 }
        if operations == 1 || operations == 301 { throw OperationError(.deviceLost, name, "gone") }
      }
      var warnings: [String] = []
      let outcome = try run(RunFolder(new: url), settings, tampering).run { event, _ in
        let happened =
          switch event {
          case .encoded(0, _): "begun"
          case .encoded(let done, let all) where done == all: "encoded"
          case .started: "started"
          case .stepped(let result) where result.step == 2: "stepped"
          default: ""
          }
        if happened == name, operations == nil { operations = 0 }
        if case .warned(let line) = event { warnings.append(line) }
      }
      #expect(outcome == .finished && operations.map { $0 > 301 } == true)
      #expect(warnings.count == 2 && warnings.allSatisfy { $0.contains("ready again") }, "\(warnings)")
      try expectSameFiles(
        ["learned_embeds.safetensors", "metrics.csv", "checkpoints/step-00000005.safetensors"], url, unbroken)
    }
  }

  /// A device that is lost again and again is given up, with what was learned; so is a shortage of memory, at once.
  @Test(arguments: [(OperationError.Code.deviceLost, 3), (.outOfMemory, 1)]) func whatStaysEndsTheRun(
    code: OperationError.Code, times: Int
  ) throws {
    try TemporaryFolder.with { url in
      let tampering = Tampering()
      var isArmed = false
      var faults = 0
      tampering.fault = { name throws(OperationError) in
        guard isArmed else { return }
        faults += 1
        throw OperationError(code, name, "trouble")
      }
      do {
        let run = try run(RunFolder(new: url), DemoRun.settings(steps: 5), tampering)
        let error = #expect(throws: OperationError.self) {
          try run.run { event, _ in if case .stepped(let result) = event, result.step == 2 { isArmed = true } }
        }
        #expect(error?.code == code && faults == times && run.stepsDone == 2)
      }
      #expect(try column("step", of: url) == ["1", "2"])
      #expect(try EmbeddingFile.read(url.appendingPathComponent("learned_embeds.safetensors")).count == 1)
      let folder = try RunFolder(resuming: url)
      #expect(folder.earlier?.checkpoint?.state.step == 2 && folder.earlier?.report?.state == .failed)
    }
  }

  // MARK: - The disk

  /// Steps 3 and 4 find no folder to write to: nothing of them is lost once it is back, and each trouble is said once.
  @Test func aDiskThatComesBackIsCaughtUpWith() throws {
    try TemporaryFolder.with { parent in
      let unbroken = parent.appendingPathComponent("unbroken")
      let (url, away) = (parent.appendingPathComponent("run"), parent.appendingPathComponent("away"))
      let settings = try DemoRun.settings(steps: 6)
      do { #expect(try run(RunFolder(new: unbroken), settings, every: 1).run() == .finished) }
      var warnings: [String] = []
      let outcome = try run(RunFolder(new: url), settings, every: 1).run { event, _ in
        switch event {
        case .warned(let line): warnings.append(line)
        case .stepped(let result) where result.step == 2:
          try FileManager.default.moveItem(at: url, to: away)
          try Data().write(to: url)
        case .stepped(let result) where result.step == 4:
          try FileManager.default.removeItem(at: url)
          try FileManager.default.moveItem(at: away, to: url)
        default: break
        }
      }
      #expect(outcome == .finished)
      #expect(!warnings.isEmpty && warnings.allSatisfy { $0.contains("training goes on") }, "\(warnings)")
      try expectSameFiles(
        ["learned_embeds.safetensors", "metrics.csv", "loss.png", "checkpoints/step-00000006.safetensors"], url,
        unbroken)
    }
  }

  /// It does not come back: what the run's folder can't take at the end lies elsewhere, and can be gone on with.
  @Test func whatTheFolderCannotTakeLiesElsewhere() throws {
    try TemporaryFolder.with { parent in
      let url = parent.appendingPathComponent("run")
      let settings = try DemoRun.settings(steps: 4)
      let run = try run(RunFolder(new: url), settings)
      var warnings: [String] = []
      let error = #expect(throws: UserError.self) {
        try run.run { event, _ in
          if case .warned(let line) = event { warnings.append(line) }
          guard case .stepped(let result) = event, result.step == 2 else { return }
          try FileManager.default.moveItem(at: url, to: parent.appendingPathComponent("away"))
          try Data().write(to: url)
        }
      }
      #expect(error?.kind == .cannotCreate)
      let lines = warnings.compactMap { $0.components(separatedBy: "word and checkpoint are in ").dropFirst().first }
      let path = try #require(lines.first)
      let refuge = URL(fileURLWithPath: path.components(separatedBy: ", which").first ?? "")
      defer { try? FileManager.default.removeItem(at: refuge) }
      let word = try #require(EmbeddingFile.read(refuge.appendingPathComponent("learned_embeds.safetensors")).first)
      #expect(word.rows == run.embeddings.first?.rows)
      let folder = try RunFolder(resuming: refuge, warn: { _ in })
      #expect(folder.earlier?.checkpoint?.state.step == 4)
    }
  }

  // MARK: - The clock

  /// Behind the step at which the time is up the run ends as one that is finished, and goes on to the bytes of one that had time.
  @Test func aRunThatIsOutOfTimeIsFinishedAndGoesOn() throws {
    try TemporaryFolder.with { parent in
      let unbroken = parent.appendingPathComponent("unbroken")
      let url = parent.appendingPathComponent("short")
      let settings = try DemoRun.settings(steps: 4)
      do { #expect(try run(RunFolder(new: unbroken), settings).run() == .finished) }
      var warnings: [String] = []
      do {
        let run = try run(RunFolder(new: url), settings)
        // A ten-thousandth of a second.
        let limit = try TimeLimit(minutes: 1e-4 / 60)
        let outcome = try run.run([
          ClosureObserver { event, run in
            if case .warned(let line) = event { warnings.append(line) }
            // As if the steps alone took time.
            if case .stepped = event { try limit.observe(event, of: run) }
          }
        ])
        #expect(outcome == .finished && run.stepsDone == 1)
      }
      #expect(warnings.count == 1 && warnings[0].contains("--max-minutes") && warnings[0].contains("1 of 4"))
      #expect(try TrainingReport(url.appendingPathComponent("training.json")).state == .finished)
      #expect(try EmbeddingFile.read(url.appendingPathComponent("learned_embeds.safetensors")).count == 1)
      do { #expect(try run(RunFolder(resuming: url), settings).run() == .finished) }
      try expectSameFiles(
        ["learned_embeds.safetensors", "metrics.csv", "checkpoints/step-00000004.safetensors"], url, unbroken)
    }
    // Before the first step there is nothing to keep: while words are looked for, and while pictures are encoded.
    for isSearching in [true, false] {
      try TemporaryFolder.with { url in
        var settings = try DemoRun.settings(steps: 4)
        settings.initializer = ""
        let run = try run(RunFolder(new: url), settings)
        let limit = try TimeLimit(minutes: 1e-4 / 60)
        var (searched, encoded) = (0, 0)
        let outcome = try run.run { event, run in
          if case .searched = event { searched += 1 }
          if case .encoded(let done, _) = event { encoded = done }
          if case .searched = event {
            try limit.observe(event, of: run)
          } else if !isSearching {
            try limit.observe(event, of: run)
          }
        }
        #expect(outcome == .finished && run.stepsDone == 0)
        #expect(isSearching ? searched == 1 && encoded == 5 : searched == 0 && encoded == 0)
      }
    }
    for minutes in [0, -1, Double.nan, .infinity] {
      expectRefusal(.usage, "--max-minutes") { _ = try TimeLimit(minutes: minutes) }
    }
  }
}

/// AdamW, whose rows at one step are no numbers while the rate is above what it bears.
private struct Breaks: Optimizer {
  let step: Int
  let limit: Float
  init(at step: Int, above limit: Float) { (self.step, self.limit) = (step, limit) }
  var name: String { "adamw" }
  func initialState(for rows: HostTensor) -> OptimizerState { AdamW().initialState(for: rows) }
  func update(
    _ rows: inout HostTensor, gradient: RowGradient, state: inout OptimizerState, step: Int, learningRate: Float
  ) {
    AdamW().update(&rows, gradient: gradient, state: &state, step: step, learningRate: learningRate)
    if step == self.step, learningRate > limit { rows.values[0] = .nan }
  }
}
