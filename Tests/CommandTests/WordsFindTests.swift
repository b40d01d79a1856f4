import Foundation
import TestSupport
import Testing

/// The model's own words for pictures, and runs that start from them, at the command line.
@Suite(.serialized) struct WordsFindTests {
  private struct Found: Decodable {
    struct Word: Decodable {
      let text: String
      let gain: Float
    }

    let words: [Word]
    let loss: Float
    let lossOfNone: Float
  }

  /// The same word in both commands, since both look for it in the same way; a run of a folder and a word leaves it in its report, and
  /// another run goes on from the first one's word by its file.
  @Test func aFolderAndAWordAreEnough() throws {
    try TemporaryFolder.with { folder in
      let common = ["--model", "demo", "--images", "demo:my-cat", "--vectors", "1", "--device", "cpu", "--json"]
      let shown = try Program.run(["words", "find", "--kind", "subject"] + common)
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      let found = try decoder.decode(Found.self, from: Data(shown.output.utf8))
      #expect(shown.code == 0 && found.words.count == 1 && found.loss < found.lossOfNone)
      let word = try #require(found.words.first?.text)

      let run = folder.appendingPathComponent("run")
      let trained = try Program.run(
        ["train", "--token", "<my-cat>", "--kind", "subject", "--steps", "1", "--output", run.path] + common)
      #expect(trained.code == 0 && trained.error.contains("Starting from \(word) "), "\(trained.error)")
      let report = try String(contentsOf: run.appendingPathComponent("training.json"), encoding: .utf8)
      #expect(report.contains("\"found_words\" : \"\(word)\""))

      let next = try Program.run([
        "train", "--model", "demo", "--images", "demo:my-cat", "--token", "<next>", "--steps", "1", "--device", "cpu",
        "--initializer", run.appendingPathComponent("my-cat.safetensors").path, "--output",
        folder.appendingPathComponent("next").path,
      ])
      #expect(next.code == 0, "\(next.error)")
      let later = try String(
        contentsOf: folder.appendingPathComponent("next/training.json"), encoding: .utf8)
      #expect(later.contains("my-cat.safetensors") && later.contains("\"vectors\" : 1"))
    }
  }
}
