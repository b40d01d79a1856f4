import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// Drawing as a person does it: what is written, what is said, and how it ends.
@Suite(.serialized) struct GenerateTests {
  private func generate(_ output: URL, _ more: [String] = [], prompt: String = "a photo of <toy>") -> [String] {
    [
      "generate", "--model", "demo", "--prompt", prompt, "--steps", "1", "--width", "16", "--height", "16", "--device",
      "cpu", "--output", output.path,
    ] + more
  }

  /// Any file of a word that fits the demo model.
  private func word(in folder: URL, name: String = "toy.safetensors", key: String = "<toy>") throws -> URL {
    let width = try #require(
      (JSONSerialization.jsonObject(
        with: Data(
          contentsOf: Fixtures.folder.deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Sources/DemoModel/Resources/model/text_encoder/config.json"))) as? [String: Any])?[
          "hidden_size"] as? Int)
    let url = folder.appendingPathComponent(name)
    try Safetensors.write(
      [(key, HostTensor([2, width], Array(repeating: 0.01, count: 2 * width)))], metadata: [:], to: url)
    return url
  }

  private func object(_ text: String) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  @Test func theWordsAndTheirPlacesAreSaid() throws {
    try TemporaryFolder.with { folder in
      let file = try word(in: folder)
      let output = folder.appendingPathComponent("a.png")
      let result = try Program.run(generate(output, ["--embedding", file.path, "--json", "--seed", "5"]))
      #expect(
        result.code == 0 && result.error.contains("<toy>, 2 vectors: tokens 4-5 of the prompt"), "\(result.error)")
      let json = try object(result.output)
      let words = try #require(json["words"] as? [[String: Any]])
      #expect(words.count == 1 && words[0]["word"] as? String == "<toy>" && words[0]["vectors"] as? Int == 2)
      #expect(words[0]["prompt_tokens"] as? [Int] == [4, 5] && words[0]["negative_prompt_tokens"] as? [Int] == [])
      #expect(json["finished"] as? Bool == true && json["warnings"] as? [String] == [])
      #expect((json["pictures"] as? [[String: Any]])?.map { $0["seed"] as? Int } == [5])

      let other = try Program.run(generate(output, ["--embedding", file.path, "--json"], prompt: "a photo of a toy"))
      #expect(other.code == 0)
      let warnings = try #require(object(other.output)["warnings"] as? [String])
      #expect(warnings.count == 1 && warnings[0].contains("<toy>"))
      #expect(other.error.contains("warning: no learned word is in the prompt"))
    }
  }

  /// A file's name may hold the sign that renames.
  @Test(arguments: ["toy.safetensors", "a=b.safetensors"]) func aWordIsCalledOtherwise(_ name: String) throws {
    try TemporaryFolder.with { folder in
      let file = try word(in: folder, name: name, key: "my toy")
      let output = folder.appendingPathComponent("a.png")
      let refused = try Program.run(generate(output, ["--embedding", file.path]))
      #expect(refused.code == 65 && refused.error.contains("FILE=WORD"), "\(refused.error)")
      let renamed = try Program.run(generate(output, ["--embedding", file.path + "=<toy>"]))
      #expect(renamed.code == 0 && renamed.error.contains("<toy>, 2 vectors: tokens 4-5"), "\(renamed.error)")
    }
  }

  @Test func aFolderIsCountedOn() throws {
    try TemporaryFolder.with { folder in
      let output = folder.appendingPathComponent("pictures")
      for _ in 0..<2 {
        let result = try Program.run(generate(output, ["--count", "2"], prompt: "a cat"))
        #expect(result.code == 0)
      }
      let names = try FileManager.default.contentsOfDirectory(atPath: output.path).sorted()
      let pictures = ["picture-1-seed-0.png", "picture-2-seed-1.png", "picture-3-seed-0.png", "picture-4-seed-1.png"]
      #expect(names == pictures + ["sheet-2.png", "sheet.png"])
    }
  }

  /// Asked to stop in the midst of pictures: those that are whole stay, and are reported.
  @Test func whatWasMadeUntilASignalIsReported() throws {
    try TemporaryFolder.with { folder in
      let output = folder.appendingPathComponent("pictures")
      let arguments = generate(output, ["--count", "1000", "--json"], prompt: "a cat")
      let result = try Program.run(arguments) { process in
        while process.isRunning,
          (try? FileManager.default.contentsOfDirectory(atPath: output.path))?.contains("picture-2-seed-1.png") != true
        {
          usleep(1000)
        }
        kill(process.processIdentifier, SIGTERM)
      }
      #expect(result.code == 143, "\(result.error)")
      let json = try object(result.output)
      let files = try #require(json["files"] as? [String])
      #expect(json["finished"] as? Bool == false && files.count >= 2)
      for file in files { #expect(FileManager.default.fileExists(atPath: file)) }
      let left = try FileManager.default.contentsOfDirectory(atPath: output.path)
      #expect(left.count == files.count, "\(left)")
    }
  }
}
