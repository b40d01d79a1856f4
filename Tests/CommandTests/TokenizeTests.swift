import DemoModel
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// Prompts as `tokenize` shows them. The numbers are transformers' (Tools/reference/tokenizer.py); that texts become them is
/// tested with the tokenizer.
@Suite struct TokenizeTests {
  @Test func promptsBecomeArraysOfNumbers() throws {
    let one = try Program.run(["tokenize", "--json", "a photo of a cat"])
    #expect(one.code == 0 && one.output == "[49406,320,1125,539,320,2368,49407]\n" && one.error.isEmpty)
    let lines = Data("a striped mushroom cat\r\n\n \ncat".utf8)
    let demo = try Program.run(["tokenize", "--json", "--model", "demo"], input: lines)
    #expect(demo.output == "[740,320,734,729,672,741]\n[740,741]\n[740,741]\n[740,672,741]\n")
    // Longer than the text encoder's places: all of it.
    let long = try Program.run(["tokenize", "--json", String(repeating: "cat ", count: 100)])
    #expect(long.output == "[49406" + String(repeating: ",2368", count: 100) + ",49407]\n")
    let bad = try Program.run(["tokenize", "--json"], input: Data([0x61, 0x0A, 0xFF, 0x0A]))
    #expect(bad.code == 65 && bad.output == "[49406,320,49407]\n" && bad.error.contains("line 2"), "\(bad.output)")
  }

  @Test func piecesPlacesAndRowsAreShown() throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("toy.safetensors")
      try Safetensors.write(
        [("<toy>", HostTensor([2, 128], Array(repeating: 0.01, count: 256)))], metadata: [:], to: file)
      let shown = try Program.run(["tokenize", "--model", "demo", "--embedding", file.path, "a <toy>cat"])
      let expected = """
        'a <toy>cat'
            0    740  '<|startoftext|>'
            1    320  'a</w>'
            2    742  '<toy>'
            3    743  '<toy>_1'
            4    672  'cat</w>'
            5    741  '<|endoftext|>'
        4 of 75 places

        """
      #expect(shown.output == expected, "\(shown.output)")
      let cut = try Program.run(["tokenize", String(repeating: "cat ", count: 76) + "dog"])
      #expect(
        cut.output.contains(
          "75 of 75 places; 2 tokens past the last:\n    -   2368  'cat</w>'\n    -   1929  'dog</w>'\n"))
      let weighted = try Program.run(
        ["tokenize", "--model", "demo", "--embedding", file.path, "--weights", "(a:1.5) BREAK embedding:toy"])
      #expect(
        weighted.output.contains("'a</w>'  x 1.5\n") && weighted.output.contains("chunk 2 of 2\n")
          && weighted.output.contains("    2    743  '<toy>_1'\n"), "\(weighted.output)")
    }
  }

  /// A word with rows for one encoder takes places in that one's prompts alone: both views are shown, or the one that is asked for. Ids
  /// are the vocabulary's own (tokenizer/vocab.json), rows come behind it.
  @Test func twoEncodersAreShownWhereTheyDiffer() throws {
    try TemporaryFolder.with { folder in
      let model = Fixtures.url("models/tiny-sdxl")
      let configuration = try Data(contentsOf: model.appendingPathComponent("text_encoder_2/config.json"))
      let settings = try #require(JSONSerialization.jsonObject(with: configuration) as? [String: Any])
      let width = try #require(settings["hidden_size"] as? Int)
      let vocabulary = try #require(
        JSONSerialization.jsonObject(with: Data(contentsOf: model.appendingPathComponent("tokenizer_2/vocab.json")))
          as? [String: Int])
      let a = try #require(vocabulary["a</w>"]), start = try #require(vocabulary["<|startoftext|>"])
      let end = try #require(vocabulary["<|endoftext|>"])
      let file = folder.appendingPathComponent("toy.safetensors")
      try Safetensors.write([("clip_g", HostTensor(repeating: 0.01, [2, width]))], to: file)
      func tokenize(_ more: [String], _ prompt: String) throws -> Program.Result {
        try Program.run(["tokenize", "--model", model.path, "--embedding", file.path] + more + [prompt])
      }
      let plain = try tokenize([], "a")
      #expect(plain.code == 0 && !plain.output.contains("text_encoder"), "\(plain.output)")
      let shown = try tokenize([], "a toy")
      #expect(shown.output.hasPrefix("text_encoder:\n'a toy'\n") && shown.output.contains("\n1 of 75 places\n"))
      #expect(shown.output.contains("text_encoder_2:\n'a toy'\n") && shown.output.contains("\n3 of 75 places\n"))
      let second = [start, a, vocabulary.count, vocabulary.count + 1, end]
      for (encoder, ids, lines) in [
        ("clip-l", [start, a, end], 0), ("clip-g", second, 0), ("both", [start, a, end], 1),
      ] {
        let json = try tokenize(["--json", "--encoder", encoder], "a toy")
        #expect(json.output == "[" + ids.map(String.init).joined(separator: ",") + "]\n", "\(json.output)")
        #expect(json.error.split(separator: "\n").count == lines, "\(json.error)")
      }
      let one = try Program.run(["tokenize", "--encoder", "clip-g", "a"])
      #expect(one.code == 64 && one.error.contains("one text encoder"), "\(one.error)")
    }
  }
}
