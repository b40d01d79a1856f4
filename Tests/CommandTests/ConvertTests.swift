import Foundation
import ModelFiles
import TestSupport
import Tensors
import Testing

/// `convert` and `inspect` as a user runs them, on files that the other tools' means made.
@Suite struct ConvertTests {
  private func fixture(_ name: String) -> String { Fixtures.url("embeddings/\(name)").path }

  private func object(_ text: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  @Test func theEndingDecidesTheForm() throws {
    try TemporaryFolder.with { folder in
      for (input, output, form) in [
        ("webui.pt", "toy.safetensors", "kohya"), ("kohya.safetensors", "kohya.pt", "webui"),
        ("webui.pt", "a.png", "webui-png"),
        ("webui.pt", "a.bin", "diffusers-bin"), ("sdxl.safetensors", "b.safetensors", "sdxl"),
        ("sdxl.safetensors", "learned_embeds.safetensors", "diffusers"),
      ] {
        let target = folder.appendingPathComponent(output)
        let result = try Program.run(["convert", fixture(input), target.path, "--json"])
        #expect(result.code == 0, "\(result.error)")
        let said = try object(result.output)
        #expect(said["format"] as? String == form && (said["files"] as? [String])?.first == target.path)
        let inspected = try object(Program.run(["inspect", target.path, "--json"]).output)
        #expect(inspected["kind"] as? String == "embedding" && inspected["form"] as? String == form)
      }
      #expect(
        FileManager.default.fileExists(atPath: folder.appendingPathComponent("learned_embeds_2.safetensors").path))
      // Into a folder the word is the name; its card shows what it is given.
      let picture = Fixtures.url("embeddings/plain.png").path
      let result = try Program.run(
        ["convert", fixture("webui.pt") + "=<dog>", folder.path, "--format", "webui-png", "--card", picture])
      #expect(
        result.code == 0 && result.output == folder.appendingPathComponent("dog.png").path + "\n", "\(result.error)")
      #expect(result.error.contains("rows of width 8, which no Stable Diffusion has"))
    }
  }

  @Test func whatCannotBeDoneIsSaid() throws {
    try TemporaryFolder.with { folder in
      let out = folder.appendingPathComponent("x.pt").path
      for (arguments, code, says) in [
        ([fixture("sdxl.safetensors"), out], 64, "--format diffusers or diffusers-bin or sdxl"),
        ([fixture("several.safetensors"), out], 64, "choose one with --word"),
        ([fixture("several.safetensors"), out, "--word", "<three>"], 64, "holds no word '<three>'"),
        ([fixture("webui.pt"), folder.path], 64, "give --format"),
        ([fixture("webui.pt"), folder.appendingPathComponent("x").path], 64, "its ending says no form"),
        ([fixture("webui.pt"), fixture("webui.pt")], 64, "would be overwritten"),
        ([fixture("webui.pt"), out, "--format", "bundle"], 64, "--format"),
        ([fixture("webui.pt"), out, "--card", fixture("plain.png")], 64, "--format webui-png"),
        ([fixture("outputs.safetensors"), out], 65, "what a text encoder puts out"),
        ([fixture("nan.safetensors"), out], 65, "holds NaN"), ([fixture("plain.png"), out], 65, "carries no word"),
        ([fixture("none.pt"), out], 66, "no such file"),
      ] as [([String], Int32, String)] {
        let result = try Program.run(["convert"] + arguments)
        #expect(result.code == code && result.error.contains(says), "\(arguments): \(result.code) \(result.error)")
        #expect(!FileManager.default.fileExists(atPath: out))
      }
      let chosen = try Program.run(["convert", fixture("several.safetensors"), out, "--word", "<two>"])
      #expect(chosen.code == 0, "\(chosen.error)")
      // What is lost is a warning.
      let lost = try Program.run(["convert", fixture("kohya.safetensors"), out])
      #expect(lost.code == 0 && lost.error.contains("no room for 1 entries of the metadata (modelspec.title)"))
    }
  }

  /// Both files of a pair that are named, as a shell's `*` names them, are one word; two files of one word are refused.
  @Test func aPairThatIsNamedTwiceIsOneWord() throws {
    let pair = ["learned_embeds.safetensors", "learned_embeds_2.safetensors"].flatMap { ["--embedding", fixture($0)] }
    let result = try Program.run(["tokenize", "--json"] + pair + ["<xl>"])
    #expect(result.code == 0 && result.output == "[49406,49408,49409,49407]\n", "\(result.output)\(result.error)")
    let twice = try Program.run([
      "tokenize", "--embedding", fixture("webui.pt"), "--embedding", fixture("webui-half.pt"), "x",
    ])
    #expect(twice.code == 65 && twice.error.contains("already exists"), "\(twice.error)")
  }

  /// Hashes by `sha256sum`; the older one by the web UI's own function in Python, on the rows of the fixture.
  @Test func inspectSaysWhatAFileIs() throws {
    let url = Fixtures.url("embeddings/webui.pt")
    let result = try Program.run(["inspect", url.path, "--json"])
    let said = try object(result.output)
    let file = try #require((said["files"] as? [[String: Any]])?.first)
    #expect(file["sha256"] as? String == FileHash.sha256(try Data(contentsOf: url)))
    #expect((file["short_hash"] as? String)?.count == 12 && file["legacy_hash"] as? String == "cd75")
    let word = try #require((said["words"] as? [[String: Any]])?.first)
    #expect(word["word"] as? String == "toy" && word["vectors"] as? Int == 2)
    let rows = try #require((word["rows"] as? [[String: Any]])?.first)
    #expect(rows["width"] as? Int == 8 && (rows["norms"] as? [Double])?.count == 2)
    #expect((said["metadata"] as? [String: String])?["step"] == "500")
    let lora = try object(Program.run(["inspect", fixture("lora.safetensors"), "--json"]).output)
    #expect(lora["kind"] as? String == "a LoRA" && lora["tensors"] as? Int == 1)
    #expect(((lora["files"] as? [[String: Any]])?.first?["short_hash"] as? String)?.count == 10)
    for (name, code) in [("plain.png", 65), ("nan.safetensors", 65), ("none", 66)] as [(String, Int32)] {
      #expect(try Program.run(["inspect", fixture(name)]).code == code)
    }
  }

  /// A word that is a row of the model's own vocabulary lies nearest to itself.
  @Test func theNearestWordsAreNamed() throws {
    let model = Fixtures.url("models/tiny-sd1")
    let weights = try SafetensorsFile(model.appendingPathComponent("text_encoder/model.safetensors"))
    let table = try weights.tensor("text_model.embeddings.token_embedding.weight")
    let width = table.shape.channels
    let scaled = table.values[7 * width..<8 * width].map { $0 * 3 }
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("toy.safetensors")
      try Safetensors.write([("<toy>", HostTensor([1, width], Array(scaled)))], to: url)
      let said = try object(Program.run(["inspect", url.path, "--model", model.path, "--json"]).output)
      let rows = ((said["words"] as? [[String: Any]])?.first?["rows"] as? [[String: Any]])?.first
      let match = try #require((rows?["nearest"] as? [[[String: Any]]])?.first?.first)
      let vocabulary = try object(
        String(decoding: Data(contentsOf: model.appendingPathComponent("tokenizer/vocab.json")), as: UTF8.self))
      #expect(vocabulary[match["piece"] as? String ?? ""] as? Int == 7)
      #expect(abs((match["cosine"] as? Double ?? 0) - 1) < 1e-5)
    }
  }
}
