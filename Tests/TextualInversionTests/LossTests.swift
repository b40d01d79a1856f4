import Foundation
import ModelFiles
import Operators
import StableDiffusion
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// Losses and gradients against PyTorch in double precision, by the formulas of other trainers (Tools/reference/losses.py).
@Suite struct LossTests {
  let file: SafetensorsFile

  init() throws { file = try SafetensorsFile(Fixtures.url("losses.safetensors")) }

  /// What each place counts: the mask's where there is one, times that of its example.
  private func weights(_ name: String) throws -> HostTensor? {
    let isMasked = ["mask", "together"].contains(name)
    let examples = file.contains("\(name).weights") ? try file.tensor("\(name).weights").values : nil
    guard isMasked || examples != nil else { return nil }
    var weights = try file.tensor("mask")
    let places = weights.shape.count / weights.shape[0]
    for index in weights.values.indices {
      weights.values[index] = (isMasked ? weights.values[index] : 1) * (examples?[index / places] ?? 1)
    }
    return weights
  }

  private static let names = [
    "squared", "huber_snr", "huber_exponential", "huber_constant", "mask", "min_snr_epsilon", "min_snr_velocity",
    "prior",
    "together",
  ]

  private func operation(_ name: String) throws -> PredictionLoss {
    let thresholds = name == "together" ? "huber_snr.c" : "\(name).c"
    return PredictionLoss(huber: file.contains(thresholds) ? try file.tensor(thresholds).values : nil)
  }

  /// The plain loops that other tests hold backends to. What is rounded is the file's 32 bits: the expectation, a threshold, a weight and the
  /// product of two.
  @Test(arguments: names) func theReferenceIsPyTorchs(name: String) throws {
    let (prediction, target) = try (
      ReferenceTensor(file.tensor("prediction")), ReferenceTensor(file.tensor("target"))
    )
    let (op, weights) = try (operation(name), weights(name).map { ReferenceTensor($0) })
    func check(_ actual: ReferenceTensor, _ what: String) throws {
      let expected = try ReferenceTensor(file.tensor("\(name).\(what)"))
      try #require(actual.shape == expected.shape)
      for (a, b) in zip(actual.values, expected.values) {
        #expect(abs(a - b) <= 4 * 0x1p-24 * abs(b), "\(what): \(a), not \(b)")
      }
    }
    try check(Reference.forward(op, prediction: prediction, target: target, weights: weights), "loss")
    try check(
      Reference.backwardInput(op, prediction: prediction, target: target, weights: weights, scale: 1), "gradient")
  }

  @Test(arguments: names, TestBackends.float32)
  func lossAndGradientAreThoseOfPyTorch(name: String, backend: TestBackend) throws {
    let (prediction, target) = try (file.tensor("prediction"), file.tensor("target"))
    let op = try operation(name)
    let weights = try weights(name)
    func check<B: Backend>(_ backend: B) throws {
      let (p, t) = try (backend.upload(prediction, as: .float32), backend.upload(target, as: .float32))
      let w = try weights.map { try backend.upload($0, as: .float32) }
      let loss = try backend.download(backend.forward(op, prediction: p, target: t, weights: w))
      let gradient = try backend.download(backend.backwardInput(op, prediction: p, target: t, weights: w, scale: 1))
      expectClose(
        loss, ReferenceTensor(try file.tensor("\(name).loss")), Tolerance(.float32, terms: prediction.shape.count), name
      )
      expectClose(gradient, ReferenceTensor(try file.tensor("\(name).gradient")), Tolerance(.float32, terms: 4), name)
    }
    try backend.run { try check($0) }
  }

  /// PyTorch's own table of noise is in 32 bits, and so is its SNR.
  private func expectEqual(_ actual: [Float], _ name: String) throws {
    let expected = try file.tensor(name).values
    #expect(actual.count == expected.count)
    for (a, b) in zip(actual, expected) { #expect(abs(a - b) <= 4 * 0x1p-23 * abs(b), "\(name): \(a), not \(b)") }
  }

  private func timesteps() throws -> [Int] { try file.integers("timesteps").values.map { Int($0) } }

  private func schedule(_ prediction: PredictionType = .epsilon) throws -> NoiseSchedule {
    try NoiseSchedule(SchedulerConfiguration(predictionType: prediction.rawValue))
  }

  @Test(arguments: HuberThreshold.Schedule.allCases) func thresholdsAreThoseOfKohya(way: HuberThreshold.Schedule)
    throws
  {
    let (schedule, timesteps) = try (schedule(), timesteps())
    var settings = LossSettings()
    settings.huber = HuberThreshold(threshold: 0.1, schedule: way)
    let op = settings.operation(timesteps: timesteps, schedule: schedule)
    try expectEqual(try #require(op.huber), "huber_\(way.rawValue).c")
  }

  @Test(arguments: [(PredictionType.epsilon, "epsilon"), (.velocity, "velocity")])
  func weightsAreThoseOfDiffusers(prediction: PredictionType, name: String) throws {
    let schedule = try schedule(prediction)
    try expectEqual(
      try timesteps().map { schedule.minSNRWeight(gamma: 5, at: $0) }, "min_snr_\(name).weights")
  }

  /// A mask and an example's weight come together in one tensor, the mask's places times the example's.
  @Test func weightsOfPlacesAndExamplesMultiply() throws {
    var settings = LossSettings()
    let mask = try file.tensor("mask")
    let latents = try file.tensor("prediction")
    func batch(_ weights: HostTensor?) throws -> Batch {
      Batch(latents: latents, noise: latents, timesteps: try timesteps(), tokens: [], weights: weights)
    }
    let schedule = try schedule()
    #expect(settings.weights(of: try batch(nil), schedule: schedule) == nil)
    #expect(settings.weights(of: try batch(mask), schedule: schedule) == mask)
    settings.snrGamma = 5
    let examples = try file.tensor("min_snr_epsilon.weights").values
    for weights in [nil, mask] {
      let both = try #require(settings.weights(of: try batch(weights), schedule: schedule))
      #expect(both.shape == mask.shape)
      for (index, value) in both.values.enumerated() {
        let expected = (weights?.values[index] ?? 1) * examples[index / 20]
        #expect(abs(value - expected) <= 4 * 0x1p-23 * abs(expected))
      }
    }
  }

  @Test func clippingIsThatOfPyTorch() throws {
    var gradients: [ParameterName: RowGradient] = [:]
    for name in ["a", "b"] {
      let tensor = try file.tensor("clip.\(name)")
      gradients[ParameterName(.textEncoder, name)] = RowGradient(tensor, examples: [tensor])
    }
    let clipped = gradients.clipped(toNorm: 0.5)
    for (name, gradient) in clipped {
      try expectEqual(gradient.mean.values, "clip.\(name.word).clipped")
      #expect(gradient.examples == [gradient.mean])
    }
    // One that is short enough stays as it is.
    for (name, gradient) in gradients.clipped(toNorm: 100) { #expect(gradient.mean == gradients[name]?.mean) }
  }

  @Test func whatMakesNoSenseIsRefused() throws {
    var plain = TrainingSettings(
      placeholder: try Placeholder("<toy>", vectors: 1), initializer: "toy", kind: .object, resolution: 64,
      precision: .float32, method: .plain)
    plain.loss.maxGradientNorm = 1
    #expect(throws: Never.self) { try plain.validate() }
    let changes: [(name: String, change: (inout TrainingSettings) -> Void)] = [
      ("--huber", { $0.loss.huber = HuberThreshold(threshold: 0) }), ("--min-snr", { $0.loss.snrGamma = -1 }),
      ("--noise-offset", { $0.loss.noiseOffset = .nan }), ("--timesteps", { $0.loss.timesteps = 5..<5 }),
      ("--max-gradient-norm", { $0.loss.maxGradientNorm = 0 }),
      ("--method plain or prodigy", { ($0.method, $0.learningRate) = (.spherical, 0.16) }),
    ]
    for (name, change) in changes {
      var settings = plain
      change(&settings)
      let error = #expect(throws: UserError.self) { try settings.validate() }
      #expect(error?.kind == .usage && error?.message.contains(name) == true, "\(error?.message ?? name)")
    }
  }

  @Test func settingsOfBeforeAreRead() throws {
    let settings = TrainingSettings(
      placeholder: try Placeholder("<toy>", vectors: 1), initializer: "toy", kind: .object, resolution: 64,
      precision: .float32)
    let data = try JSONEncoder().encode(settings)
    var fields = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    for name in ["loss", "rateStages"] { fields[name] = nil }
    let earlier = try JSONDecoder().decode(
      TrainingSettings.self, from: JSONSerialization.data(withJSONObject: fields))
    #expect(earlier == settings)
  }

  /// What is in `training.json`, under its names there.
  @Test func settingsComeBackFromTheirFile() throws {
    var loss = LossSettings()
    loss.huber = HuberThreshold(threshold: 0.2, schedule: .exponential)
    loss.snrGamma = 5
    loss.noiseOffset = 0.1
    loss.timesteps = 500..<900
    loss.maxGradientNorm = 1
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    #expect(try decoder.decode(LossSettings.self, from: encoder.encode(loss)) == loss)
  }
}
