import Foundation
import TestSupport
import Testing

/// A folder as people have them (Tools/reference/odd_pictures.py) is trained from, and says each odd thing in one line.
@Suite struct OddPicturesTests {
  private func makeFolder(_ folder: URL) throws {
    let source = Fixtures.url("odd_pictures")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    // Two names that are alike but for how their accents are stored, and one of other letters.
    let names = [
      "DS_Store": ".DS_Store", "flat.png": "caf\u{E9}.png", "wide.png": "cafe\u{301}.png", "tall.jpg": "写真 🐈.jpg",
    ]
    for name in try FileManager.default.contentsOfDirectory(atPath: source.path) where name != "expected.safetensors" {
      try FileManager.default.copyItem(
        at: source.appendingPathComponent(name), to: folder.appendingPathComponent(names[name] ?? name))
    }
  }

  private func warnings(_ output: String) throws -> [String] {
    let object = try #require(JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
    return try #require(object["warnings"] as? [String])
  }

  @Test func isTrainedWithALineForEachOddThing() throws {
    try TemporaryFolder.with { folder in
      let pictures = folder.appendingPathComponent("pictures")
      try makeFolder(pictures)
      func train(_ name: String, _ more: [String] = []) throws -> Program.Result {
        try Program.run(
          [
            "train", "--model", "demo", "--images", pictures.path, "--token", "<toy>", "--initializer", "toy",
            "--method",
            "plain", "--batch-size", "2", "--steps", "3", "--resolution", "32", "--device", "cpu", "--json", "--output",
            folder.appendingPathComponent(name).path,
          ] + more, environment: ["TI_GPU_LATENT_CACHE": folder.appendingPathComponent("latents").path])
      }
      let result = try train("run")
      #expect(result.code == 0, "\(result.error)")
      // The pictures are one scene in many forms, and may be said to be alike; three steps teach nothing.
      let expected = ["nearly the same", "all pictures", "the held-out loss"]
      let lines = try warnings(result.output).filter { line in !expected.contains(where: line.hasPrefix) }
      #expect(
        lines == [
          "passed over .DS_Store: hidden",
          "passed over cut.jpg: Premature end of JPEG file",
          "passed over moving.webp: it is an animation; save one picture of it",
          "passed over text.jpg: not a PNG, JPEG or WebP picture",
          "transparent parts are learned as white: glass.png; --alpha takes another colour, or mask to leave them out",
          "turned upright as their EXIF data says: turned.jpg",
          "in CMYK, made RGB without their profile, so that colours may differ: ink.jpg",
          "of 16 bits a channel, of which the upper eight are learned: deep.png",
        ])
      // The same again, its latents from the disk.
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/latents").count == 8)
      #expect(try train("again").code == 0)
      let word = try Data(contentsOf: folder.appendingPathComponent("run/learned_embeds.safetensors"))
      #expect(try Data(contentsOf: folder.appendingPathComponent("again/learned_embeds.safetensors")) == word)
      #expect(try train("without", ["--no-latent-cache"]).code == 0)
      #expect(try Data(contentsOf: folder.appendingPathComponent("without/learned_embeds.safetensors")) == word)
    }
  }
}
