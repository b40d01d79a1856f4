import DemoModel
import Foundation
import ModelFiles
import TestSupport
import Tensors
import Testing

/// `words` as a person uses it. What is written is read back by its bytes.
@Suite struct WordsTests {
  private func object(_ text: String) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  private func save(_ rows: [[Float]], _ name: String, in folder: URL, key: String = "emb_params") throws -> URL {
    let url = folder.appendingPathComponent(name)
    try Safetensors.write(
      [(key, HostTensor([rows.count, rows[0].count], rows.flatMap { $0 }))], metadata: ["a": "b"], to: url)
    return url
  }

  private func rows(_ url: URL, _ key: String = "emb_params") throws -> [Float] {
    try SafetensorsFile(url).tensor(key).values
  }

  /// Rows of the demo's own vocabulary are nearest to themselves.
  @Test func aVocabularysOwnRowsAreNearest() throws {
    try TemporaryFolder.with { folder in
      let tokenizer = try object(
        String(contentsOf: DemoModel.model.appendingPathComponent("tokenizer/vocab.json"), encoding: .utf8))
      let words = ["cat</w>", "tree</w>"]
      let ids = try words.map { try #require(tokenizer[$0] as? Int) }
      let table = try SafetensorsFile(DemoModel.model.appendingPathComponent("text_encoder/model.safetensors"))
        .tensor("text_model.embeddings.token_embedding.weight")
      let width = table.shape.channels
      let file = try save(
        ids.map { id in Array(table.values[id * width..<(id + 1) * width]).map { 3 * $0 } }, "own.safetensors",
        in: folder)
      let result = try Program.run(["words", "nearest", file.path, "--model", "demo", "--count", "3", "--json"])
      #expect(result.code == 0, "\(result.error)")
      let word = try #require((try object(result.output)["words"] as? [[String: Any]])?.first)
      let encoder = try #require((word["rows"] as? [[String: Any]])?.first)
      let nearest = try #require(encoder["nearest"] as? [[[String: Any]]])
      #expect(nearest.map { $0.first?["piece"] as? String } == words)
      #expect(nearest.allSatisfy { $0.count == 3 && abs(($0[0]["cosine"] as? Double ?? 0) - 1) < 1e-5 })
      let text = try Program.run(["words", "nearest", file.path, "--model", "demo"]).output
      #expect(text.contains("1  cat</w> 1") && text.contains("2  tree</w> 1"))
    }
  }

  @Test func blendsAreWrittenInEveryForm() throws {
    try TemporaryFolder.with { folder in
      let a = try save([[1, 0, 0]], "cat.safetensors", in: folder),
        b = try save([[0, 2, 0]], "dog.safetensors", in: folder)
      for (name, key) in [("catdog.safetensors", "emb_params"), ("learned_embeds.safetensors", "catdog")] {
        let output = folder.appendingPathComponent(name)
        let result = try Program.run([
          "words", "blend", a.path + "=catdog", b.path, output.path, "--weight", "0.5",
        ])
        #expect(result.code == 0 && result.output == output.path + "\n", "\(result.error)")
        let half = Float(1.5 * 0.5.squareRoot())
        for (value, expected) in zip(try rows(output, key), [half, half, 0]) { #expect(abs(value - expected) < 1e-6) }
      }
      for name in ["catdog.pt", "catdog.png", "catdog.bin"] {
        let output = folder.appendingPathComponent(name)
        #expect(try Program.run(["words", "blend", a.path + "=catdog", b.path, output.path]).code == 0)
        let back = folder.appendingPathComponent("\(name).safetensors")
        #expect(try Program.run(["convert", output.path, back.path]).code == 0)
        #expect(try rows(back).count == 3)
      }
      let taken = try Program.run(["words", "blend", a.path, b.path, b.path])
      #expect(taken.code == 64 && taken.error.contains("overwritten"))
    }
  }

  @Test func rowsAreScaled() throws {
    try TemporaryFolder.with { folder in
      let toy = try save([[3, 4], [0, 0.5]], "toy.safetensors", in: folder)
      let output = folder.appendingPathComponent("out.safetensors")
      for (option, expected) in [(["--factor", "2"], [6, 8, 0, 1]), (["--norm", "5"], [3, 4, 0, 5])]
        as [([String], [Float])]
      {
        let result = try Program.run(["words", "scale", toy.path, output.path, "--json"] + option)
        #expect(result.code == 0, "\(result.error)")
        #expect(try object(result.output)["files"] as? [String] == [output.path])
        #expect(try rows(output) == expected)
        // What the file said of itself is kept.
        #expect(try SafetensorsFile(output).metadata["a"] == "b")
      }
      for (more, hint) in [
        ([], "one of --factor"), (["--factor", "2", "--norm", "1"], "one of --factor"),
        (["--norm", "0"], "--norm must be"),
        (["--model", "demo"], "width 2"), (["--fctor", "2"], "did you mean '--factor'?"),
      ] {
        let result = try Program.run(["words", "scale", toy.path, output.path] + more)
        #expect(result.code == 64 && result.error.contains(hint), "\(result.error)")
      }
    }
  }

  /// With a model the rows get the mean length of its vocabulary: here a plain loop over the table.
  @Test func aModelsWordsGiveTheLength() throws {
    try TemporaryFolder.with { folder in
      let table = try SafetensorsFile(DemoModel.model.appendingPathComponent("text_encoder/model.safetensors"))
        .tensor("text_model.embeddings.token_embedding.weight")
      let width = table.shape.channels
      var sum = 0.0
      for row in 0..<table.shape.rows {
        var square = 0.0
        for column in 0..<width {
          square += Double(table.values[row * width + column]) * Double(table.values[row * width + column])
        }
        sum += square.squareRoot()
      }
      let toy = try save([(0..<width).map { Float($0) }], "toy.safetensors", in: folder)
      let output = folder.appendingPathComponent("out.safetensors")
      let result = try Program.run(["words", "scale", toy.path, output.path, "--model", "demo"])
      #expect(result.code == 0, "\(result.error)")
      let length = try rows(output).reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      #expect(abs(length / (sum / Double(table.shape.rows)) - 1) < 1e-5)
    }
  }

  @Test func wordsAreCompared() throws {
    try TemporaryFolder.with { folder in
      let a = try save([[1, 0], [0, 2]], "a.safetensors", in: folder),
        b = try save([[1, 1], [0, -1]], "b.safetensors", in: folder)
      let result = try Program.run(["words", "compare", a.path, b.path, "--json"])
      #expect(result.code == 0, "\(result.error)")
      let pair = try #require((try object(result.output)["pairs"] as? [[String: Any]])?.first)
      let rows = try #require((pair["rows"] as? [[String: Any]])?.first)
      let cosines = try #require(rows["cosines"] as? [[Double]])
      let half = 0.5.squareRoot()
      for (cosine, expected) in zip(cosines.joined(), [half, 0, half, -1]) { #expect(abs(cosine - expected) < 1e-6) }
      let text = try Program.run(["words", "compare", a.path, b.path]).output
      #expect(text.contains("row 1  cosine  0.707  angle  45.0°  lengths 1 and 1.41"))
      #expect(text.contains("row 2  cosine -1.000  angle 180.0°"))
      #expect(try Program.run(["words", "compare", a.path]).code == 64)
    }
  }

  @Test(arguments: [
    (["words", "blnd"], "no command 'words blnd'; did you mean 'words blend'?"),
    (["words", "compare", "--jsn", "x"], "no option '--jsn' of 'words compare'; did you mean '--json'?"),
    (["word"], "did you mean 'words'?"),
  ])
  func mistakesAreNamed(arguments: [String], hint: String) throws {
    let result = try Program.run(arguments)
    #expect(result.code == 64 && result.error.contains(hint), "\(result.error)")
  }
}
