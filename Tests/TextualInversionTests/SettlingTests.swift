import DemoModel
import Foundation
import Images
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// When a run has learned all it will: DVAR's rule, what it does with the rate, and what is said at the end.
@Suite(.serialized) struct SettlingTests {
  /// Where `numpy.var(x[-6:]) < 0.15 * numpy.var(x)` first holds behind more than six values (numpy 2, Tools/reference/settling.py).
  @Test func itIsDVARsRule() throws {
    struct Case: Decodable {
      let losses: [Float]
      let settled: Int?
    }
    let cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: Fixtures.url("settling.json")))
    #expect(cases.count >= 20 && cases.contains { $0.settled == nil } && Set(cases.map(\.settled)).count > 5)
    for (number, one) in cases.enumerated() {
      #expect(SettlingRule(tail: 1).settled(one.losses) == one.settled, "case \(number)")
    }
    // Nothing is known of nothing, and what never moved has not settled.
    #expect(SettlingRule(tail: 1).settled([]) == nil)
    #expect(SettlingRule(tail: 1).settled(Array(repeating: 0.5, count: 50)) == nil)
  }

  private func record(_ losses: [Float], every: Int) -> HeldOutRecord {
    HeldOutRecord(
      losses: losses.enumerated().map { HeldOutLoss(step: $0.offset * every, loss: $0.element) }, best: nil, last: nil)
  }

  /// The rate stays at its height until the word has settled, and then falls along half a cosine; where it does not settle, over the last
  /// of the steps that there are.
  @Test func theRateFallsBehindIt() throws {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<toy>", vectors: 1), initializer: "toy", kind: .object, resolution: 64,
      precision: .float32)
    let usual = settings.steps
    #expect(usual == 250 && settings.lastStep(HeldOutRecord()) == 250)
    settings.stopWhenSettled()
    try settings.validate()
    #expect(settings.steps == 500 && settings.heldOut.settling?.tail == 50)
    // 3 x 16 pictures in steps of four.
    #expect(settings.heldOutInterval == 12)
    let falling: [Float] = [4, 3, 2, 1, 1, 1, 1, 1, 1]
    let settled = record(falling, every: 12)
    // Of 4, 3, 2, 1, 1, 1, 1 the variance is 1.27, that of the last six .58; with one more 1 they are 1.19 and .14.
    #expect(settings.settledStep(settled) == 84 && settings.lastStep(settled) == 134)
    #expect(settings.settledStep(record(Array(falling.prefix(7)), every: 12)) == nil)
    let still = record([4, 3, 2], every: 12)
    #expect(settings.settledStep(still) == nil && settings.lastStep(still) == 500)
    for (step, factor) in [(0, 1.0), (83, 1), (84, 1), (109, 0.5), (133, 0.5 * (1 + cos(.pi * 49 / 50)))] {
      #expect(abs(Double(settings.learningRate(at: step, settled)) - 0.16 * factor) < 1e-6, "step \(step)")
    }
    for (step, factor) in [(96, 1.0), (450, 1), (475, 0.5)] {
      #expect(abs(Double(settings.learningRate(at: step, still)) - 0.16 * factor) < 1e-6, "step \(step)")
    }
    settings.heldOut.draws = 0
    expectRefusal(.usage, "--steps", "held-out loss") { try settings.validate() }
    // A rate that does not fall needs no steps to fall in.
    settings.heldOut = HeldOutSettings()
    (settings.schedule, settings.steps) = (.constant, 250)
    settings.stopWhenSettled()
    #expect(settings.lastStep(settled) == 84 && settings.learningRate(at: 400, still) == 0.16)
  }

  /// A run that stops by itself, one that a person stopped on the way and one that was stopped while the rate fell: the same bytes.
  @Test(arguments: TestBackends.float32) func aResumedRunStopsWhereAnUnbrokenOneDoes(backend: TestBackend) throws {
    try backend.run { try expectSameEnd(on: $0) }
  }

  private func expectSameEnd<B: Backend>(on backend: B) throws {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<my-cat>", vectors: 2), initializer: "striped cat", kind: .subject, resolution: 32,
      precision: backend.precision)
    settings.steps = 10
    settings.batchSize = 2
    settings.stopWhenSettled()
    settings.heldOut.draws = 2
    settings.heldOut.every = 1
    settings.heldOut.settling?.window = 3
    // So lax that it holds as soon as there are enough.
    settings.heldOut.settling?.threshold = 0.99
    func train(_ url: URL, until stop: Int = .max, resumes: Bool = false) throws -> TrainingRun<B> {
      let run = try TrainingRun(
        model: DiffusersFolder(DemoModel.model), pictures: DemoConcept.myCat.folder, settings: settings,
        folder: resumes ? RunFolder(resuming: url) : RunFolder(new: url), makeBackend: { _ in backend })
      let outcome = try run.run { event, run in
        if case .stepped(let result) = event, result.step == stop { run.requestStop() }
      }
      #expect((outcome == .finished) == (stop == .max))
      return run
    }
    try TemporaryFolder.with { parent in
      let unbroken = parent.appendingPathComponent("unbroken")
      let last = try { try train(unbroken).stepsDone }()
      #expect(last >= 5 && last < 20, "\(last)")
      for stop in [1, last - 1] {
        let url = parent.appendingPathComponent("stopped-\(stop)")
        _ = try { try train(url, until: stop).stepsDone }()
        #expect(try { try train(url, resumes: true).stepsDone }() == last)
        // A run that has ended has nothing left to do.
        #expect(try { try train(url, resumes: true).stepsDone }() == last)
        let checkpoint = String(format: "checkpoints/step-%08d.safetensors", last)
        try expectSameFiles(
          ["learned_embeds.safetensors", "metrics.csv", checkpoint], url, unbroken, "after step \(stop)")
      }
      // One that is settled goes on by a number of steps, measured as before.
      settings.stop(behind: last + 2)
      #expect(try { try train(unbroken, resumes: true).stepsDone }() == last + 2)
      let table = MetricsTable(reading: unbroken.appendingPathComponent("metrics.csv"))
      #expect(table.values("held_out_loss").map(\.x) == (1...last + 2).map(Double.init))
    }
  }

  /// Learned where the fall came before the last quarter; still falling where much of it came in that; else nothing was learned.
  @Test(
    arguments: [
      ([4, 3, 2, 2, 2], HeldOutConclusion.Verdict.learned), ([4, 3.9, 3.8, 3, 2], .falling),
      ([4, 3.5, 3, 2.3, 2], .learned),
      ([4, 4.2, 4.1, 4.0, 3.99], .unlearned),
      ([4, 5, 6, 5, 4.5], .unlearned), ([4, 3, 3.2, 3.1, 3.1], .learned),
    ] as [([Float], HeldOutConclusion.Verdict)]) func theVerdictIsThatOfTheFall(
      losses: [Float], verdict: HeldOutConclusion.Verdict
    ) throws
  {
    var record = record(losses, every: 10)
    #expect(HeldOutConclusion(record, settled: nil) == nil)
    record.last = HeldOutLoss(step: 40, loss: try #require(losses.last))
    let conclusion = try #require(HeldOutConclusion(record, settled: nil))
    #expect(conclusion.verdict == verdict && conclusion.initial == 4)
    #expect(conclusion.loss == losses.dropFirst().min())
    // Pictures that are noise to the model leave as much of the loss as is left where nothing is known of them.
    record.uninformed = 2.2
    #expect(try (#require(HeldOutConclusion(record, settled: nil)).verdict == .unlearnable) == (conclusion.loss > 1.76))
    #expect(
      conclusion.line.contains(
        verdict == .falling ? "--steps" : verdict == .learned ? "is learned" : "nothing was learned"))
  }

  /// A fall of 5 % is what a style shows at its end, and what an object shows before it is found: the length of the way tells.
  @Test func aShortWayAsksForMore() throws {
    var record = record([4, 3.8, 3.8, 3.8, 3.8], every: 10)
    record.last = HeldOutLoss(step: 40, loss: 3.8)
    #expect(HeldOutConclusion(record, settled: nil, isShortWay: true)?.verdict == .falling)
    #expect(HeldOutConclusion(record, settled: nil, isShortWay: false)?.verdict == .learned)
    record.last = HeldOutLoss(step: 40, loss: 4.2)
    #expect(
      HeldOutConclusion(
        HeldOutRecord(losses: Array(record.losses.prefix(1)), best: nil, last: record.last), settled: nil,
        isShortWay: true)?.verdict == .falling)
    var settings = try DemoRun.settings(steps: 2000)
    #expect(!settings.isShortWay(of: 1000) && settings.isShortWay(of: 999))
    settings.learningRate *= 2
    #expect(!settings.isShortWay(of: 500))
  }

  /// Pictures of noise are called so, those of a concept are not.
  @Test(arguments: [true, false]) func noiseCannotBeLearned(isNoise: Bool) throws {
    try TemporaryFolder.with { folder in
      var pictures = DemoConcept.myCat.folder
      if isNoise {
        pictures = folder.appendingPathComponent("pictures")
        try FileManager.default.createDirectory(at: pictures, withIntermediateDirectories: true)
        for number in 0..<3 {
          let draws = Philox(seed: 5, stream: 1, step: UInt32(number))
          let bytes = (0..<64 * 64 * 3).map { UInt8(draws.integer(below: 256, at: $0)) }
          try Picture(width: 64, height: 64, pixels: bytes).encodedPNG()
            .write(to: pictures.appendingPathComponent("\(number).png"))
        }
      }
      var settings = try DemoRun.settings(steps: 3)
      settings.resolution = 64
      let run = try DemoRun.make(RunFolder(new: folder.appendingPathComponent("run")), settings, pictures: pictures)
      var warnings: [String] = []
      #expect(try run.run { event, _ in if case .warned(let line) = event { warnings.append(line) } } == .finished)
      #expect((run.conclusion?.verdict == .unlearnable) == isNoise)
      #expect(warnings.contains { $0.contains("can be learned") } == isNoise, "\(warnings)")
    }
  }
}
