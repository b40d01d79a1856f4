import CPUBackend
import DemoModel
import Foundation
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// The held-out loss: of draws that never change, taken as often as it may, and what becomes of the rows that had the lowest.
@Suite(.serialized) struct HeldOutTests {
  /// Batches that say which settings they are of, and nothing else.
  private struct Numbered: BatchSource {
    let settings: TrainingSettings

    func batch(step: Int, microBatch: Int) throws -> Batch {
      let shape: Shape = [settings.batchSize, 1, 1, 1]
      let values = (0..<settings.batchSize).map { Float(step * settings.batchSize + $0) }
      return Batch(
        latents: HostTensor(shape, values), noise: HostTensor(shape, values),
        timesteps: Array(repeating: 3, count: settings.batchSize), tokens: [])
    }
  }

  /// Times by the definition: the middles of equal parts of 500..<900, each once, in no order.
  @Test(arguments: [(16, 4, 16), (10, 4, 12), (3, 8, 3), (1, 1, 1)])
  func drawsAreFewFixedAndSpread(draws: Int, batchSize: Int, count: Int) throws {
    var settings = try DemoRun.settings(steps: 5)
    settings.heldOut.draws = draws
    settings.batchSize = batchSize
    settings.accumulation = 3
    settings.seed = 4
    var asked: [TrainingSettings] = []
    func make() throws -> [Batch] {
      try HeldOutBatches(settings, steps: 1000) {
        asked.append($0)
        return Numbered(settings: $0)
      }.batches
    }
    let batches = try make()
    let times = batches.flatMap(\.timesteps)
    let middles: [Int] = (0..<count).map { part in
      let place = (Double(part) + 0.5) / Double(count)
      return 500 + Int(400 * place)
    }
    #expect(times.sorted() == middles)
    #expect(count < 10 || times != times.sorted())
    let numbers: [Float] = (0..<count).map { Float($0) }
    #expect(batches.flatMap(\.latents.values) == numbers)
    #expect(try make().flatMap(\.timesteps) == times)
    // No batch is larger than those that fit into memory while training, and none is one of them.
    #expect(asked.allSatisfy { $0.batchSize <= batchSize && $0.accumulation == 1 && $0.seed != settings.seed })
    settings.heldOut = HeldOutSettings(draws: 0)
    #expect(try make().isEmpty)
  }

  /// The loss of the run's start, held against the mean over what the UNet said, in double precision.
  @Test func itIsTheMeanOverTheDraws() throws {
    try TemporaryFolder.with { url in
      var settings = try DemoRun.settings(steps: 1)
      settings.batchSize = 2
      settings.heldOut.draws = 6
      let tampering = Tampering()
      var squares = 0.0
      var (batches, count) = (0, 0)
      var losses: [HeldOutLoss] = []
      tampering.loss = { prediction, target in
        guard losses.isEmpty else { return }
        count += target.values.count
        batches += 1
        for (p, t) in zip(prediction.values, target.values) {
          squares += (Double(p) - Double(t)) * (Double(p) - Double(t))
        }
      }
      _ = try TrainingRun(
        model: DiffusersFolder(DemoModel.model), pictures: DemoConcept.myCat.folder, settings: settings,
        folder: RunFolder(new: url), makeBackend: { Tampered(try CPUBackend(precision: $0), tampering) }
      ).run { event, _ in if case .evaluated(let measured) = event { losses.append(measured) } }
      let expected = squares / Double(count)
      #expect(batches == 3 && count > 0 && losses.map(\.step) == [0, 1])
      #expect(abs(Double(losses[0].loss) - expected) <= 1e-6 * expected, "\(losses[0].loss), not \(expected)")
    }
  }

  /// Half of twelve times as many steps learn as are measured: 16 draws are measured every 96 pictures.
  @Test(arguments: [(1, 1, 96), (4, 1, 24), (4, 2, 12), (64, 4, 1)]) func itCostsATenthAtMost(
    batchSize: Int, accumulation: Int, expected: Int
  ) throws {
    var settings = try DemoRun.settings(steps: 250)
    settings.batchSize = batchSize
    settings.accumulation = accumulation
    #expect(settings.heldOutInterval == expected)
    #expect(settings.isHeldOutDue(0) && settings.isHeldOutDue(3 * expected))
    #expect(expected == 1 || !settings.isHeldOutDue(3 * expected + 1))
    settings.heldOut.every = 7
    #expect(settings.isHeldOutDue(14) && !settings.isHeldOutDue(24))
    settings.heldOut.draws = 0
    #expect(!settings.isHeldOutDue(14))
  }

  /// A rule that spoils the rows behind its third step: the word is that of the lowest loss, which a line says, and a run that is
  /// gone on with takes the same.
  @Test func theBestRowsAreTheResult() throws {
    try TemporaryFolder.with { url in
      var settings = try DemoRun.settings(steps: 6)
      settings.heldOut.every = 1
      var rows: [Int: Parameters] = [:]
      var losses: [Int: Float] = [:]
      var warnings: [String] = []
      // The run has the folder as long as it is there.
      var learned: HostTensor?
      do {
        let run = try DemoRun.make(RunFolder(new: url), settings, optimizer: Spoils(after: 3))
        let outcome = try run.run { event, _ in
          switch event {
          case .evaluated(let measured): losses[measured.step] = measured.loss
          case .stepped(let result): rows[result.step] = result.parameters
          case .warned(let line): warnings.append(line)
          default: break
          }
        }
        #expect(outcome == .finished)
        learned = run.embeddings.first?.rows[.textEncoder]
      }
      #expect(losses.keys.sorted() == Array(0...6))
      let best = try #require(losses.filter { $0.key > 0 }.min { $0.value < $1.value }?.key)
      #expect(best <= 3)
      #expect(warnings.count == 1 && warnings[0].contains("step \(best)"), "\(warnings)")
      let file = url.appendingPathComponent("learned_embeds.safetensors")
      let name = ParameterName(.textEncoder, "<my-cat>")
      #expect(try EmbeddingFile.read(file).first?.rows[.textEncoder] == rows[best]?[name])
      #expect(learned == rows[best]?[name])
      let checkpoint = try Checkpoint(url.appendingPathComponent("checkpoints/step-00000006.safetensors"))
      #expect(checkpoint.state.parameters == rows[6] && checkpoint.state.heldOut.best == rows[best])
      #expect(checkpoint.state.heldOut.losses.map(\.step) == Array(0...6))
      #expect(checkpoint.state.heldOut.losses.allSatisfy { $0.loss == losses[$0.step] })
      // The column holds what was told, in the line of its step.
      let table = MetricsTable(reading: url.appendingPathComponent("metrics.csv"))
      let column = try #require(table.columns.firstIndex(of: "held_out_loss"))
      #expect(table.rows.map { Float($0[column]) } == (1...6).map { losses[$0] })

      let before = try Data(contentsOf: file)
      do {
        let again = try DemoRun.make(RunFolder(resuming: url), settings, optimizer: Spoils(after: 3))
        #expect(try again.run() == .finished)
      }
      #expect(try Data(contentsOf: file) == before)
    }
  }

  /// Of equal losses the later; the initializer's own is never the result, nor one that is hardly lower than the last.
  @Test func theLowestIsOfSomethingLearned() {
    func rows(_ value: Float) -> Parameters { [ParameterName(.textEncoder, "a"): HostTensor([1, 1], [value])] }
    var record = HeldOutRecord()
    #expect(record.lowest == nil && record.best == nil)
    for (step, loss) in [(0, 0.1), (10, 0.5), (20, 0.4), (30, 0.4), (40, 0.6)] {
      record.add(HeldOutLoss(step: step, loss: Float(loss)), rows: rows(Float(step)))
    }
    #expect(record.lowest?.step == 30 && record.best == rows(30) && record.initial?.loss == 0.1)
    // The last rows are left where others were hardly better: of .408, .4 is 2 % less.
    for (last, step) in [(0.6, 30), (0.41, 30), (0.407, 50), (0.4, 50), (0.3, 50)] {
      record.last = HeldOutLoss(step: 50, loss: Float(last))
      #expect(record.result?.step == step, "\(last)")
    }
  }

  /// A run of before there was a held-out loss goes on without one.
  @Test func earlierSettingsHaveNone() throws {
    let encoder = JSONEncoder()
    var object = try #require(
      JSONSerialization.jsonObject(with: encoder.encode(DemoRun.settings(steps: 1))) as? [String: Any])
    #expect(object.removeValue(forKey: "heldOut") != nil)
    let settings = try JSONDecoder().decode(
      TrainingSettings.self, from: JSONSerialization.data(withJSONObject: object))
    #expect(settings.heldOut.draws == 0)
  }
}

/// AdamW up to a step, and from then on rows that are ever further from anything learned.
private struct Spoils: Optimizer {
  let after: Int
  init(after: Int) { self.after = after }
  var name: String { "adamw" }
  func initialState(for rows: HostTensor) -> OptimizerState { AdamW().initialState(for: rows) }
  func update(
    _ rows: inout HostTensor, gradient: RowGradient, state: inout OptimizerState, step: Int, learningRate: Float
  ) {
    AdamW().update(&rows, gradient: gradient, state: &state, step: step, learningRate: learningRate)
    guard step > after else { return }
    for index in rows.values.indices { rows.values[index] += index.isMultiple(of: 2) ? 5 : -5 }
  }
}
