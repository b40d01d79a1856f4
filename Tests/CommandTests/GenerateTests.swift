import DemoModel
import Foundation
import Images
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
    let configuration = try Data(contentsOf: DemoModel.model.appendingPathComponent("text_encoder/config.json"))
    let width = try #require(object(String(decoding: configuration, as: UTF8.self))["hidden_size"] as? Int)
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
        result.code == 0 && result.error.contains("<toy>, 2 vectors of toy.safetensors: tokens 4-5 of the prompt\n"),
        "\(result.error)")
      let json = try object(result.output)
      let words = try #require(json["words"] as? [[String: Any]])
      #expect(words.count == 1 && words[0]["word"] as? String == "<toy>" && words[0]["vectors"] as? Int == 2)
      #expect(words[0]["prompt_tokens"] as? [Int] == [4, 5] && words[0]["negative_prompt_tokens"] as? [Int] == [])
      #expect(words[0]["file"] as? String == file.path && words[0]["cut"] as? Int == 0)
      #expect(json["finished"] as? Bool == true && json["warnings"] as? [String] == [] && json["device"] is String)
      let pictures = try #require(json["pictures"] as? [[String: Any]])
      #expect(pictures.map { $0["seed"] as? Int } == [5] && pictures.map { $0["file"] as? String } == [output.path])

      let other = try Program.run(generate(output, ["--embedding", file.path, "--json"], prompt: "a photo of a toy"))
      #expect(other.code == 0)
      let warnings = try #require(object(other.output)["warnings"] as? [String])
      #expect(warnings == ["no prompt holds the word '<toy>' of \(file.path)"])
      #expect(other.error.contains("ti-gpu: warning: \(warnings[0])\n"))
    }
  }

  /// A file's name may hold the sign that renames.
  @Test(arguments: ["toy.safetensors", "a=b.safetensors"]) func aWordIsCalledOtherwise(_ name: String) throws {
    try TemporaryFolder.with { folder in
      let file = try word(in: folder, name: name, key: "my toy")
      let output = folder.appendingPathComponent("a.png")
      let refused = try Program.run(generate(output, ["--embedding", file.path]))
      #expect(refused.code == 65 && refused.error.contains("--embedding '\(file.path)=<toy>'"), "\(refused.error)")
      let renamed = try Program.run(generate(output, ["--embedding", file.path + "=<toy>"]))
      #expect(
        renamed.code == 0 && renamed.error.contains("<toy>, 2 vectors of \(name): tokens 4-5"), "\(renamed.error)")
    }
  }

  /// What a sampler can't do is said with file and key, before any weights are read: here there are none.
  @Test(arguments: [
    ("euler", "use_exponential_sigmas", "true"), ("dpm++2m", "algorithm_type", "\"sde\""),
    ("ddim", "thresholding", "true"),
    ("ddim", "timestep_spacing", "\"odd\""),
  ])
  func whatASamplerCannotDoIsSaidFirst(sampler: String, key: String, value: String) throws {
    try TemporaryFolder.with { folder in
      let model = folder.appendingPathComponent("model")
      try FileManager.default.copyItem(at: DemoModel.model, to: model)
      for file in try FileManager.default.contentsOfDirectory(atPath: model.appendingPathComponent("unet").path)
      where file.hasSuffix(".safetensors") {
        try FileManager.default.removeItem(at: model.appendingPathComponent("unet").appendingPathComponent(file))
      }
      let file = model.appendingPathComponent("scheduler/scheduler_config.json")
      var scheduler = try object(String(decoding: Data(contentsOf: file), as: UTF8.self))
      scheduler[key] = try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)
      try JSONSerialization.data(withJSONObject: scheduler).write(to: file)
      let result = try Program.run(
        generate(folder.appendingPathComponent("a.png"), ["--model", model.path, "--sampler", sampler]))
      #expect(
        result.code == 65 && result.error.hasPrefix("ti-gpu: \(file.path): '\(key)': "), "\(result.error)")
    }
  }

  /// What is there stays as it is, and a single file that is named is replaced.
  @Test func aFolderIsCountedOn() throws {
    try TemporaryFolder.with { folder in
      let output = folder.appendingPathComponent("pictures")
      #expect(try Program.run(generate(output, ["--count", "2"], prompt: "a cat")).code == 0)
      let before = try ["picture-1-seed-0.png", "picture-2-seed-1.png", "sheet.png"].map {
        ($0, try Data(contentsOf: output.appendingPathComponent($0)))
      }
      #expect(try Program.run(generate(output, ["--count", "2"], prompt: "a red star")).code == 0)
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: output.path).sorted() == [
          "picture-1-seed-0.png", "picture-2-seed-1.png", "picture-3-seed-0.png", "picture-4-seed-1.png", "sheet-2.png",
          "sheet.png",
        ])
      for (name, data) in before { #expect(try Data(contentsOf: output.appendingPathComponent(name)) == data) }

      let file = folder.appendingPathComponent("a.png")
      try Data("old".utf8).write(to: file)
      #expect(try Program.run(generate(file, prompt: "a cat")).code == 0)
      #expect(try Picture(contentsOf: file).width == 16)
    }
  }

  @Test func twoProcessesShareAFolder() throws {
    try TemporaryFolder.with { folder in
      let output = folder.appendingPathComponent("pictures")
      // The same seed, so that only the number tells the names apart.
      let arguments = generate(output, ["--count", "12", "--json"], prompt: "a cat")
      var second: Program.Result?
      let first = try Program.run(arguments + ["--seed", "3"]) { _ in
        second = try? Program.run(arguments + ["--seed", "3"])
      }
      var files: [String] = []
      for result in [first, try #require(second)] {
        #expect(result.code == 0, "\(result.error)")
        let json = try object(result.output)
        files += try #require(json["pictures"] as? [[String: Any]]).compactMap { $0["file"] as? String }
        files.append(try #require(json["sheet"] as? String))
      }
      #expect(files.count == 26 && Set(files).count == 26)
      #expect(try FileManager.default.contentsOfDirectory(atPath: output.path).count == 26)
      for file in files { _ = try Picture(contentsOf: URL(fileURLWithPath: file)) }
    }
  }

  @Test func latentsThatAreUsedAgainAreSaid() throws {
    try TemporaryFolder.with { folder in
      let latents = Fixtures.url("demo/latents.safetensors")
      let result = try Program.run([
        "generate", "--model", "demo", "--prompt", "a cat", "--steps", "1", "--device", "cpu", "--latents",
        latents.path,
        "--count", "2", "--json", "--output", folder.path,
      ])
      #expect(result.code == 0, "\(result.error)")
      #expect(try (object(result.output)["warnings"] as? [String])?.first?.contains("used again") == true)
    }
  }

  /// Asked to stop in the midst of pictures: those that are whole stay, and are reported.
  @Test(arguments: [(SIGINT, 130), (SIGTERM, 143)] as [(Int32, Int32)])
  func whatWasMadeUntilASignalIsReported(signal: Int32, code: Int32) throws {
    try TemporaryFolder.with { folder in
      let output = folder.appendingPathComponent("pictures")
      let arguments = generate(output, ["--count", "1000", "--json"], prompt: "a cat")
      let result = try Program.run(arguments) { process in
        while process.isRunning,
          (try? FileManager.default.contentsOfDirectory(atPath: output.path))?.contains("picture-2-seed-1.png") != true
        {
          usleep(1000)
        }
        kill(process.processIdentifier, signal)
      }
      #expect(result.code == code, "\(result.error)")
      let json = try object(result.output)
      let files = try #require(json["pictures"] as? [[String: Any]]).compactMap { $0["file"] as? String }
      #expect(json["finished"] as? Bool == false && (2..<1000).contains(files.count) && json["sheet"] == nil)
      for file in files { _ = try Picture(contentsOf: URL(fileURLWithPath: file)) }
      #expect(try FileManager.default.contentsOfDirectory(atPath: output.path).count == files.count)
    }
  }

  /// Weights of a sound file whose products are too large for 16 bits: an error, and no picture.
  @Test func whatIsNoNumberIsNoPicture() throws {
    try TemporaryFolder.with { folder in
      let model = folder.appendingPathComponent("model")
      try FileManager.default.copyItem(at: DemoModel.model, to: model)
      let unet = model.appendingPathComponent("unet/diffusion_pytorch_model.safetensors")
      let weights = try SafetensorsFile(unet)
      let tensors = try weights.names.map { name in
        var tensor = try weights.tensor(name)
        if name == "conv_out.weight" { tensor.values = tensor.values.map { $0 * 1e6 } }
        return (name, tensor)
      }
      try Safetensors.write(tensors, metadata: [:], to: unet)
      let output = folder.appendingPathComponent("a.png")
      let result = try Program.run(
        generate(output, ["--model", model.path, "--precision", "f16"], prompt: "a cat"))
      #expect(result.code == 65 && result.error.contains("--precision f32"), "\(result.error)")
      #expect(!FileManager.default.fileExists(atPath: output.path))
    }
  }
}
