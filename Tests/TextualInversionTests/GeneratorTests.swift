import DemoModel
import Foundation
import Images
import ModelFiles
import Operators
import StableDiffusion
import TestSupport
import Tensors
import Testing
import TextualInversion

/// Pictures of the demo model against those that diffusers draws from the same latents (Tools/reference/generate.py).
@Suite(.serialized) struct GeneratorTests {
  private static let pictures: [(file: String, sampler: SamplerKind)] = [
    ("ddim30", .ddim), ("euler30", .euler), ("dpm2m30", .dpmSolverPP2M), ("ddim30-negative", .ddim),
  ]

  private func picture<B: Backend>(_ file: String, _ sampler: SamplerKind, on backend: B) throws -> Picture {
    let metadata = try SafetensorsFile(Fixtures.url("demo/pictures.safetensors")).metadata
    let latents = try SafetensorsFile(Fixtures.url("demo/latents.safetensors")).tensor("latents")
    let generator = try Generator(
      model: ModelFolder(DemoModel.model), embeddings: [], precision: .float32, makeBackend: { _ in backend })
    var settings = GenerationSettings(
      prompt: try #require(metadata["prompt"]), width: generator.nativeSide, height: generator.nativeSide)
    if file.hasSuffix("negative") { settings.negativePrompt = try #require(metadata["negative_prompt"]) }
    settings.sampler = sampler
    return try generator.picture(
      settings, latents: latents.reshaped(Shape(Array(latents.shape.dimensions.suffix(3)))).transposed([1, 2, 0]))
  }

  @Test(arguments: pictures.indices, TestBackends.float32)
  func drawsWhatDiffusersDraws(index: Int, backend: TestBackend) throws {
    let (file, sampler) = Self.pictures[index]
    let expected = try Picture(contentsOf: Fixtures.url("demo/\(file).png"))
    let actual = try backend.run { try picture(file, sampler, on: $0) }
    #expect(actual.width == expected.width && actual.height == expected.height)
    let squares = zip(actual.pixels, expected.pixels).reduce(0.0) { sum, pair in
      let difference = Double(pair.0) - Double(pair.1)
      return sum + difference * difference
    }
    let noise = squares / Double(expected.pixels.count)
    let decibels = noise > 0 ? 10 * log10(255 * 255 / noise) : .infinity
    #expect(decibels >= 45, "\(file): \(decibels) dB")
  }
}
