import Tensors
import Testing

@testable import TextualInversion

/// Rates in the web UIs' notation. By AUTOMATIC1111's rule a stage holds while the steps that are done are fewer than its end; `-1` and
/// no end are the end of the run; what is empty between commas is passed over.
@Suite struct RateStageTests {
  @Test(
    arguments: [
      ("0.005:100,1e-3:500", [(0, 0.005), (99, 0.005), (100, 1e-3), (499, 1e-3)]),
      ("0.005", [(0, 0.005), (100_000, 0.005)]),
      (" 5e-3 : 10 , 1e-3:-1", [(9, 5e-3), (10, 1e-3), (100_000, 1e-3)]),
      ("0.005:100, 1e-3:1000, 1e-5", [(99, 0.005), (999, 1e-3), (1000, 1e-5)]),
      ("0.005:100,,1e-3,", [(100, 1e-3)]),
    ] as [(String, [(Int, Float)])]) func ratesAreThoseOfTheWebUI(text: String, rates: [(step: Int, rate: Float)])
    throws
  {
    let stages = try #require(RateStage.stages(text))
    for (step, rate) in rates { #expect(stages.rate(at: step) == rate, "step \(step)") }
  }

  @Test(arguments: [
    "", ",", "abc", "0.005:", "0.005:x", ":100", "0.005:100:200", "0.005:100,1e-3:100", "0.005:100,1e-3:50",
    "0.005,1e-3:5",
    "0.005:0", "0.005:-2", "nan", "inf:100",
  ]) func whatIsNoneIsRefused(text: String) {
    #expect(RateStage.stages(text) == nil)
  }

  private func settings(_ text: String, steps: Int, _ method: TrainingMethod = .plain) throws -> TrainingSettings {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<toy>", vectors: 1), initializer: "toy", kind: .object, resolution: 64,
      precision: .float32, method: method)
    settings.steps = steps
    settings.rateStages = RateStage.stages(text)
    return settings
  }

  @Test func theRunEndsWithItsSchedule() throws {
    let fitting = try settings("0.005:100,1e-3:500", steps: 500)
    try fitting.validate()
    #expect(fitting.learningRate(at: 99) == 0.005 && fitting.learningRate(at: 100) == 1e-3)
    #expect(throws: UserError.self) { try settings("0.005:100,1e-3:500", steps: 501).validate() }
    #expect(throws: Never.self) { try settings("0.005:100,1e-3", steps: 501).validate() }
    #expect(throws: UserError.self) { try settings("0.005:100,20", steps: 500).validate() }
    #expect(throws: UserError.self) { try settings("0.005:100,1e-3:500", steps: 500, .spherical).validate() }
    var twice = fitting
    twice.schedule = .cosine
    #expect(throws: UserError.self) { try twice.validate() }
  }
}
