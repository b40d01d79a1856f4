import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing

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

  @Test(
    arguments: [
      "squared", "huber_snr", "huber_exponential", "huber_constant", "mask", "min_snr_epsilon", "min_snr_velocity",
      "prior", "together",
    ], TestBackends.float32)
  func lossAndGradientAreThoseOfPyTorch(name: String, backend: TestBackend) throws {
    let (prediction, target) = try (file.tensor("prediction"), file.tensor("target"))
    let thresholds = name == "together" ? "huber_snr.c" : "\(name).c"
    let op = PredictionLoss(huber: file.contains(thresholds) ? try file.tensor(thresholds).values : nil)
    let weights = try weights(name)
    func check<B: Backend>(_ backend: B) throws {
      let (p, t) = try (backend.upload(prediction, as: .float32), backend.upload(target, as: .float32))
      let w = try weights.map { try backend.upload($0, as: .float32) }
      let loss = try backend.download(backend.forward(op, prediction: p, target: t, weights: w))
      let gradient = try backend.download(backend.backwardInput(op, prediction: p, target: t, weights: w, scale: 1))
      expectClose(
        loss, ReferenceTensor(try file.tensor("\(name).loss")), Tolerance(.float32, terms: prediction.shape.count), name)
      expectClose(gradient, ReferenceTensor(try file.tensor("\(name).gradient")), Tolerance(.float32, terms: 4), name)
    }
    try backend.run { try check($0) }
  }
}
