import Foundation
import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

/// The truth is diffusers' `UNet2DConditionModel` in double precision (Tools/reference/outputs.py).
@Suite struct UNetTests {
  @Test(arguments: ModelFixture.all, TestBackends.all)
  func outputAndGradientAreThoseOfDiffusers(fixture: ModelFixture, on backend: TestBackend) throws {
    try backend.run { try check(fixture, on: $0, suffix: "") }
  }

  /// Latents whose sides are odd on the coarser levels.
  @Test(arguments: ModelFixture.all, TestBackends.float32)
  func oddSizesAreThoseOfDiffusers(fixture: ModelFixture, on backend: TestBackend) throws {
    try backend.run { try check(fixture, on: $0, suffix: "_odd") }
  }

  private func check<B: Backend>(_ fixture: ModelFixture, on backend: B, suffix: String) throws {
    let file = try fixture.outputs()
    let unet = try fixture.unet(backend)
    let input = try Input(file, suffix, on: backend)
    let (prediction, saved) = try unet.forward(
      input.sample, timesteps: input.timesteps, conditioning: input.conditioning)
    let dPrediction = try backend.upload(
      file.channelsLast("unet.output_gradient\(suffix)"), as: backend.precision)
    let dContext = try unet.backward(dPrediction, saved).context
    let tolerance = backend.precision.networkTolerance
    let output = try backend.download(prediction)
    #expect(try relativeError(output, file.channelsLast("unet.output\(suffix)")) < tolerance)
    #expect(
      try relativeError(backend.download(dContext), file.tensor("unet.context_gradient\(suffix)")) < tolerance)

    let predicted = try unet.predict(input.sample, timesteps: input.timesteps, conditioning: input.conditioning)
    #expect(try backend.download(predicted) == output, "predict and forward are the same numbers")
  }

  /// What is built to predict alone predicts the same, and has no backward.
  @Test(arguments: TestBackends.float32)
  func aModelThatIsNotDifferentiableSaysSo(on backend: TestBackend) throws {
    try backend.run { try checkForwardAlone(on: $0) }
  }

  private func checkForwardAlone<B: Backend>(on backend: B) throws {
    let fixture = ModelFixture.all[0]
    let file = try fixture.outputs()
    let unet = try fixture.unet(backend, gradients: [])
    let input = try Input(file, "", on: backend)
    let (prediction, saved) = try unet.forward(
      input.sample, timesteps: input.timesteps, conditioning: input.conditioning)
    #expect(try relativeError(backend.download(prediction), file.channelsLast("unet.output")) < 1e-5)
    #expect(throws: OperationError.self) { try unet.backward(prediction, saved) }
  }

  @Test(arguments: TestBackends.float32)
  func inputsThatDoNotFitAreRefused(on backend: TestBackend) throws {
    try backend.run { try checkRefusals(on: $0) }
  }

  private func checkRefusals<B: Backend>(on backend: B) throws {
    let fixture = ModelFixture.all[0]
    let unet = try fixture.unet(backend, gradients: [])
    let input = try Input(fixture.outputs(), "", on: backend)
    #expect(throws: OperationError.self) {
      try unet.predict(input.sample, timesteps: [1], conditioning: input.conditioning)
    }
    #expect(throws: OperationError.self) {
      try unet.predict(input.conditioning.context, timesteps: input.timesteps, conditioning: input.conditioning)
    }
    #expect(throws: OperationError.self) {
      try unet.predict(input.sample, timesteps: input.timesteps, conditioning: Conditioning(context: input.sample))
    }
  }

  private struct Input<B: Backend> {
    let sample: Tensor<B.Storage>
    let timesteps: [Float]
    let conditioning: Conditioning<B.Storage>

    init(_ file: SafetensorsFile, _ suffix: String, on backend: B) throws {
      sample = try backend.upload(file.channelsLast("unet.sample\(suffix)"), as: backend.precision)
      timesteps = try file.integers("unet.timesteps").values.map(Float.init)
      conditioning = Conditioning(context: try backend.upload(file.tensor("unet.context"), as: backend.precision))
    }
  }
}
