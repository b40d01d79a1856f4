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
    let gradient = try unet.backward(dPrediction, saved)
    func expect(_ tensor: Tensor<B.Storage>, _ name: String) throws {
      let expected = tensor.shape.rank == 4 ? try file.channelsLast(name + suffix) : try file.tensor(name + suffix)
      let error = try relativeError(backend.download(tensor), expected)
      #expect(try error < fixture.tolerance(name + suffix, backend.precision), "\(name)")
    }
    try expect(prediction, "unet.output")
    try expect(gradient.context, "unet.context_gradient")
    #expect((gradient.pooled != nil) == file.names.contains("unet.pooled"))
    if let pooled = gradient.pooled { try expect(pooled, "unet.pooled_gradient") }

    let predicted = try unet.forward(
      input.sample, timesteps: input.timesteps, conditioning: input.conditioning, keeping: .nothing
    ).prediction
    #expect(try backend.download(predicted) == backend.download(prediction), "whatever is kept")
  }

  /// Where the first text encoder's rows alone are trained, no gradient of pooled text is made, and nothing below the first
  /// cross-attention keeps anything for it.
  @Test(arguments: ModelFixture.xl, TestBackends.float32)
  func theContextAloneTakesTheSameGradient(fixture: ModelFixture, on backend: TestBackend) throws {
    try backend.run { try checkContextAlone(fixture, on: $0) }
  }

  private func checkContextAlone<B: Backend>(_ fixture: ModelFixture, on backend: B) throws {
    let file = try fixture.outputs()
    let input = try Input(file, "", on: backend)
    let dPrediction = try backend.upload(file.channelsLast("unet.output_gradient"), as: backend.precision)
    func kept(_ gradients: Set<GradientName>) throws -> (bytes: Int, gradient: ConditioningGradient<B.Storage>) {
      let unet = try fixture.unet(backend, gradients: gradients)
      let before = backend.memory.currentBytes
      let (_, saved) = try unet.forward(input.sample, timesteps: input.timesteps, conditioning: input.conditioning)
      let bytes = backend.memory.currentBytes - before
      return (bytes, try unet.backward(dPrediction, consume saved))
    }
    let (both, alone) = (try kept([.context, .pooled]), try kept([.context]))
    #expect(alone.gradient.pooled == nil && alone.bytes < both.bytes)
    #expect(
      try relativeError(backend.download(alone.gradient.context), file.tensor("unet.context_gradient")) < 1e-5)
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
      try unet.forward(input.sample, timesteps: [1], conditioning: input.conditioning)
    }
    #expect(throws: OperationError.self) {
      try unet.forward(input.conditioning.context, timesteps: input.timesteps, conditioning: input.conditioning)
    }
    #expect(throws: OperationError.self) {
      try unet.forward(input.sample, timesteps: input.timesteps, conditioning: Conditioning(context: input.sample))
    }

    let xl = ModelFixture.xl[0]
    let unetXL = try xl.unet(backend, gradients: [])
    let inputXL = try Input(xl.outputs(), "", on: backend)
    for (pooled, sizes) in [(false, true), (true, false), (true, true)] {
      var conditioning = inputXL.conditioning
      if !pooled { conditioning.pooled = nil }
      if !sizes { conditioning.sizes = nil }
      if pooled && sizes { conditioning.sizes?[1].removeLast() }
      #expect(throws: OperationError.self) {
        try unetXL.forward(inputXL.sample, timesteps: inputXL.timesteps, conditioning: conditioning)
      }
    }
  }

  private struct Input<B: Backend> {
    let sample: Tensor<B.Storage>
    let timesteps: [Float]
    let conditioning: Conditioning<B.Storage>

    init(_ file: SafetensorsFile, _ suffix: String, on backend: B) throws {
      sample = try backend.upload(file.channelsLast("unet.sample\(suffix)"), as: backend.precision)
      timesteps = try file.integers("unet.timesteps").values.map(Float.init)
      var conditioning = Conditioning(
        context: try backend.upload(file.tensor("unet.context"), as: backend.precision))
      if file.names.contains("unet.pooled") {
        let sizes = try file.tensor("unet.sizes")
        conditioning.pooled = try backend.upload(file.tensor("unet.pooled"), as: backend.precision)
        conditioning.sizes = (0..<sizes.shape[0]).map { Array(sizes.values[6 * $0..<6 * $0 + 6]) }
      }
      self.conditioning = conditioning
    }
  }
}
