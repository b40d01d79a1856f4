import DemoModel
import Foundation
import ModelFiles
import TestSupport
import Tensors
import Testing

/// `check`, and what `train` says first.
@Suite(.serialized) struct CheckTests {
  private func arguments(_ command: String, _ pictures: String = "demo:my-cat", _ more: [String] = []) -> [String] {
    [
      command, "--model", "demo", "--images", pictures, "--token", "<my-cat>", "--initializer", "cat", "--kind",
      "subject", "--resolution", "32", "--device", "cpu",
    ] + more
  }

  private func object(_ text: String) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  private func temporaryFolders() throws -> Set<String> {
    let names = try FileManager.default.contentsOfDirectory(atPath: FileManager.default.temporaryDirectory.path)
    return Set(names.filter { $0.hasPrefix("ti-gpu-check") })
  }

  /// Everything that a person can count, against what the demo's concept is: five pictures of 64 pixels.
  @Test func jsonSaysWhatWouldBeDone() throws {
    let before = try temporaryFolders()
    let result = try Program.run(arguments("check", "demo:my-cat", ["--json", "--steps", "200"]))
    #expect(result.code == 0, "\(result.error)")
    let json = try object(result.output)
    let pictures = try #require(json["pictures"] as? [[String: Any]])
    #expect(pictures.map { $0["file"] as? String } == (1...5).map { "\($0).png" })
    #expect(pictures.allSatisfy { $0["width"] as? Int == 64 && $0["learned_width"] as? Int == 32 })
    let word = try #require((json["words"] as? [[String: Any]])?.first)
    #expect(word["initializer_tokens"] as? [String] == ["cat</w>"] && word["vectors"] as? Int == 4)
    let sentences = try #require(json["sentences"] as? [String])
    #expect(sentences.count == 3 && sentences.allSatisfy { $0.contains("<my-cat>") })
    let settings = try #require(json["settings"] as? [String: Any])
    #expect(settings["steps"] as? Int == 200 && settings["batch_size"] as? Int == 4)
    let trial = try #require(json["trial"] as? [String: Any])
    let (each, all) = (try #require(trial["seconds_per_step"] as? Double), try #require(trial["seconds"] as? Double))
    #expect(each > 0 && abs(all - 200 * each) < 1e-6 * all)
    let (peak, limit) = (try #require(trial["peak_bytes"] as? Int), try #require(trial["limit_bytes"] as? Int))
    #expect(peak > 1 << 20 && peak < limit)
    #expect(try temporaryFolders().isSubset(of: before))
  }

  /// What words there are is not looked for, only said to be; a run that ends by itself has no number of steps.
  @Test func whatIsYetToBeFoundIsSaid() throws {
    let line = [
      "check", "--model", "demo", "--images", "demo:my-cat", "--token", "<my-cat>", "--resolution", "32", "--device",
      "cpu", "--steps", "auto",
    ]
    let result = try Program.run(line + ["--json"])
    #expect(result.code == 0, "\(result.error)")
    let json = try object(result.output)
    let word = try #require((json["words"] as? [[String: Any]])?.first)
    #expect(word["start"] as? String == "found" && word["initializer"] as? String == "")
    let trial = try #require(json["trial"] as? [String: Any])
    #expect(try #require(trial["search_seconds"] as? Double) > 0)
    let text = try Program.run(line + ["--no-trial"]).output
    #expect(text.contains("from the model's own words for the pictures, which are looked for first"))
    #expect(text.contains("at most 500 steps of 4 pictures, until the word has settled"), "\(text)")
  }

  /// A file to start from, rates one behind the other, and repeats.
  @Test func whatDecidesTheNumbersIsSaid() throws {
    try TemporaryFolder.with { folder in
      let old = folder.appendingPathComponent("old.safetensors")
      try Safetensors.write(
        [("emb_params", HostTensor(repeating: 0.1, [2, 128]))], metadata: [:], to: old)
      let concepts = folder.appendingPathComponent("concepts")
      try FileManager.default.createDirectory(at: concepts, withIntermediateDirectories: true)
      for (concept, name) in [(DemoConcept.myCat, "3_cat cat"), (.rocketToy, "rocket toy")] {
        try FileManager.default.copyItem(at: concept.folder, to: concepts.appendingPathComponent(name))
      }
      try Data().write(to: concepts.appendingPathComponent("notes.txt"))
      let common = ["check", "--model", "demo", "--resolution", "32", "--device", "cpu", "--no-trial"]
      let rates = try Program.run(
        common + [
          "--images", "demo:my-cat", "--token", "<x>", "--initializer", old.path, "--method", "plain",
          "--learning-rate", "0.005:100,0.001:500",
        ])
      #expect(rates.output.contains("from the learned word in \(old.path)"), "\(rates.output) \(rates.error)")
      #expect(rates.output.contains("plain, the rates 0.005:100,0.001:500, f32"), "\(rates.output)")
      let words = try Program.run(common + ["--concepts", concepts.path, "--steps", "20"])
      // 80 draws over 20 parts.
      #expect(
        words.output.contains("each picture about 4 to 12 times, by its folder's repeats"),
        "\(words.output) \(words.error)")
      #expect(words.error.contains("passed over notes.txt: no folder of a concept's pictures"))
      // What is meant as a file is not taken for words.
      for (start, name) in [("old.pt", "cat"), (nil, "cat old.safetensors")] {
        try FileManager.default.moveItem(
          at: concepts.appendingPathComponent("3_cat cat"), to: concepts.appendingPathComponent(name))
        let refused = try Program.run(
          common + ["--concepts", concepts.path] + (start.map { ["--initializer", $0] } ?? []))
        #expect(
          refused.code == 64 && refused.error.contains("is a file, and several words start from words"),
          "\(refused.error)")
        try FileManager.default.moveItem(
          at: concepts.appendingPathComponent(name), to: concepts.appendingPathComponent("3_cat cat"))
      }
    }
  }

  /// The options of `train` are those of `check`; what is left where results would go is nothing.
  @Test func aTrainingsCommandIsChecked() throws {
    try TemporaryFolder.with { folder in
      let run = folder.appendingPathComponent("run")
      let line = ["--output", run.path, "--checkpoint-every", "2", "--no-trial", "--steps", "2", "--batch-size", "1"]
      let check = try Program.run(arguments("check", "demo:my-cat", line))
      #expect(check.code == 0, "\(check.error)")
      #expect(!FileManager.default.fileExists(atPath: run.path))
      #expect(check.output.contains("2 steps of 1 picture, spherical"))
      #expect(check.output.contains("only 2 of the 5 pictures are seen"))
      #expect(!check.output.contains("time:"))
      let train = try Program.run(arguments("train", "demo:my-cat", line.filter { $0 != "--no-trial" }))
      #expect(train.code == 0, "\(train.error)")
      for line in check.output.split(separator: "\n") { #expect(train.error.contains(line), "\(line)") }
      let again = try Program.run(arguments("check", "demo:my-cat", line))
      #expect(again.code == 73 && again.error.contains("--overwrite"))
    }
  }

  /// A folder of pictures as people have them; each warning stands in the result as well.
  @Test func captionsAndWarningsAreSaid() throws {
    try TemporaryFolder.with { folder in
      let pictures = folder.appendingPathComponent("pictures")
      try FileManager.default.copyItem(at: DemoConcept.myCat.folder, to: pictures)
      try FileManager.default.copyItem(
        at: pictures.appendingPathComponent("1.png"), to: pictures.appendingPathComponent("copy.png"))
      for (name, text) in [("1", "on a red background"), ("2", "a cat on grass"), ("3", "{} at night")] {
        try Data(text.utf8).write(to: pictures.appendingPathComponent("\(name).txt"))
      }
      let result = try Program.run(arguments("check", pictures.path, ["--no-trial", "--json"]))
      #expect(result.code == 0, "\(result.error)")
      let json = try object(result.output)
      #expect(json["captions_naming"] as? [String: Int] == ["word": 1, "initializer": 1, "nothing": 1])
      let warnings = try #require(json["warnings"] as? [String])
      #expect(warnings.contains { $0.hasPrefix("nearly the same picture: 1.png, copy.png") })
      #expect(warnings.contains { $0.hasPrefix("the word stands in some captions and not in 1.txt, 2.txt") })
      let text = try Program.run(arguments("check", pictures.path, ["--no-trial"])).output
      #expect(
        text.contains(
          "3 captions of 3 pictures: 1 names the word, 1 names what the word starts from, and has it there, 1 is said behind it"
        ))
      let without = try Program.run(arguments("check", pictures.path, ["--no-trial", "--no-captions"]))
      #expect(without.output.contains("captions are not read\n"))
      #expect(without.error.contains("passed over 1.txt, 2.txt, 3.txt: captions are not read in this run"))
    }
  }

  @Test(arguments: [
    (["--resume", "x"], "--resume"), (["--caption-dropout", "2", "--no-trial"], "--caption-dropout"),
    (["--image", "x"], "did you mean '--images'"),
  ])
  func mistakesAreNamed(more: [String], hint: String) throws {
    let result = try Program.run(arguments("check", "demo:my-cat", more))
    #expect(result.code == 64 && result.error.contains(hint), "\(result.error)")
  }
}
