import CPUBackend
import Foundation
import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

/// The truth is diffusers' `AutoencoderKL` in double precision (Tools/reference/outputs.py).
@Suite struct AutoencoderTests {
  @Test(arguments: ModelFixture.all, TestBackends.all)
  func momentsAndPicturesAreThoseOfDiffusers(fixture: ModelFixture, on backend: TestBackend) throws {
    try backend.run { try check(fixture, on: $0) }
  }

  private func check<B: Backend>(_ fixture: ModelFixture, on backend: B) throws {
    let file = try fixture.outputs()
    let autoencoder = try fixture.autoencoder(backend)
    let tolerance = backend.precision.networkTolerance

    let pixels = try backend.upload(file.channelsLast("vae.pixels"), as: backend.precision)
    let latents = try LatentDistribution(moments: backend.download(autoencoder.encode(pixels)))
    #expect(try relativeError(latents.mean, file.channelsLast("vae.mean")) < tolerance)
    var deviation = try file.channelsLast("vae.logvar")
    deviation.values = deviation.values.map { exp(0.5 * $0) }
    #expect(relativeError(latents.deviation, deviation) < tolerance)

    let stored = try backend.upload(file.channelsLast("vae.latents"), as: backend.precision)
    let decoded = try backend.download(autoencoder.decode(stored))
    #expect(try relativeError(decoded, file.channelsLast("vae.decoded")) < tolerance)
  }

  /// Either half alone reads its own weights, makes what the whole makes, and refuses what it lacks.
  @Test(arguments: ModelFixture.all) func halvesAreThoseOfTheWhole(fixture: ModelFixture) throws {
    let backend = try CPUBackend(precision: .float32)
    let file = try fixture.outputs()
    let encoder = try fixture.autoencoder(backend, parts: .encoder)
    let decoder = try fixture.autoencoder(backend, parts: .decoder)
    let pixels = try backend.upload(file.channelsLast("vae.pixels"), as: .float32)
    let latents = try backend.upload(file.channelsLast("vae.latents"), as: .float32)
    let mean = try LatentDistribution(moments: backend.download(encoder.encode(pixels))).mean
    #expect(try relativeError(mean, file.channelsLast("vae.mean")) < ElementType.float32.networkTolerance)
    let decoded = try backend.download(decoder.decode(latents))
    #expect(try relativeError(decoded, file.channelsLast("vae.decoded")) < ElementType.float32.networkTolerance)
    #expect(throws: OperationError.self) { try encoder.decode(latents) }
    #expect(throws: OperationError.self) { try decoder.encode(pixels) }
  }

  @Test func aDistributionIsSampledFromMeanAndLogVariance() {
    // Means 1 and 2, log-variances 0 and 2 ln 3; a wild one is bounded.
    let distribution = LatentDistribution(
      moments: HostTensor([1, 1, 2, 4], [1, 2, 0, 2 * Float(log(3.0)), 5, 6, -1000, 1000]))
    let sample = distribution.sample(noise: [1, -1, 0, 0], scale: 0.5)
    #expect(sample.shape == [1, 1, 2, 2])
    #expect(zip(sample.values, [1, -0.5, 2.5, 3]).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(abs(distribution.deviation.values[3] / Float(exp(10.0)) - 1) < 1e-6)
  }

  @Test(arguments: TestBackends.float32)
  func picturesOfOtherSizesAreRefused(on backend: TestBackend) throws {
    try backend.run { try checkRefusal(on: $0) }
  }

  private func checkRefusal<B: Backend>(on backend: B) throws {
    let autoencoder = try ModelFixture.all[0].autoencoder(backend)
    let pixels = try backend.upload(HostTensor(repeating: 0, [1, 15, 16, 3]), as: backend.precision)
    #expect(throws: OperationError.self) { try autoencoder.encode(pixels) }
  }
}
