import Foundation
import Images
import ModelFiles
import TestSupport
import Tensors
import Testing

/// `generate --latents`: the picture that diffusers draws from the same latents (Tools/reference/generate.py), and files that are no
/// latents of this model.
@Suite(.serialized) struct LatentsTests {
  private func generate(_ latents: URL, _ output: URL, steps: Int) throws -> Program.Result {
    let prompt = try #require(try SafetensorsFile(Fixtures.url("demo/pictures.safetensors")).metadata["prompt"])
    return try Program.run([
      "generate", "--model", "demo", "--prompt", prompt, "--latents", latents.path, "--steps", "\(steps)", "--device",
      "cpu",
      "--precision", "f32", "--output", output.path,
    ])
  }

  @Test func theyAreWhatIsDrawnFrom() throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("a.png")
      let result = try generate(Fixtures.url("demo/latents.safetensors"), file, steps: 30)
      #expect(result.code == 0, "\(result.error)")
      let (actual, expected) = (try Picture(contentsOf: file), try Picture(contentsOf: Fixtures.url("demo/ddim30.png")))
      try #require(actual.width == expected.width && actual.height == expected.height)
      let squares = zip(actual.pixels, expected.pixels).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
      let noise = squares / Double(expected.pixels.count)
      #expect(noise == 0 || 10 * log10(255 * 255 / noise) >= 45)
    }
  }

  @Test func whatIsNoneIsRefused() throws {
    try TemporaryFolder.with { folder in
      func file(_ name: String, _ shape: Shape, _ values: (Int) -> Float = { _ in 0 }) throws -> URL {
        let url = folder.appendingPathComponent("\(name).safetensors")
        try Safetensors.write([(name, HostTensor(shape, (0..<shape.count).map(values)))], metadata: [:], to: url)
        return url
      }
      let sound = try SafetensorsFile(Fixtures.url("demo/latents.safetensors")).tensor("latents").shape
      var flat = sound.dimensions
      flat[flat.count - 1] += 1
      let output = folder.appendingPathComponent("a.png")
      for (latents, code) in [
        (folder.appendingPathComponent("nowhere"), 66), (try file("noise", sound), 65),
        (Fixtures.url("images/images.safetensors"), 65), (try file("latents", sound) { $0 == 5 ? .nan : 0 }, 65),
      ] as [(URL, Int32)] {
        let result = try generate(latents, output, steps: 1)
        #expect(result.code == code && result.error.contains(latents.lastPathComponent), "\(result.error)")
      }
      let wide = try generate(file("latents", Shape(flat)), output, steps: 1)
      #expect(wide.code == 65 && wide.error.contains("latents"), "\(wide.error)")
      #expect(!FileManager.default.fileExists(atPath: output.path))
    }
  }
}
