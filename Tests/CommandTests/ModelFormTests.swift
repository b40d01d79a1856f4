import Foundation
import Images
import ModelFiles
import Tensors
import TestSupport
import Testing

/// A model in every form in which people have it: the same picture as from the folder that diffusers wrote, and losses within the
/// bounds of PyTorch's trace. Single files are made by the plans of Tools/reference/single_file.py, `torch.save`'s layout by its rules.
@Suite(.serialized) struct ModelFormTests {
  private static let models = ["tiny-sd1", "tiny-sd2", "tiny-sdxl", "tiny-sdxl-v"]

  private func source(_ model: String) -> URL { Fixtures.url("models/\(model)") }

  /// The model as the program is told of it.
  private func named(_ file: URL, _ form: ModelForm, _ model: String) -> [String] {
    ["--model", file.path] + (form.isSingleFile ? ["--config", source(model).path] : [])
  }

  /// A picture's bytes, and what was said.
  private func draw(
    _ model: [String], in folder: URL, device: String = "cpu", environment: [String: String] = [:]
  ) throws -> (picture: Picture, said: String) {
    let file = folder.appendingPathComponent("\(UUID().uuidString).png")
    let result = try Program.run(
      [
        "generate", "--prompt", "a photo of a cat", "--negative-prompt", "toy", "--steps", "3", "--width", "32",
        "--height", "16", "--seed", "3", "--device", device, "--output", file.path,
      ] + model, environment: environment)
    try #require(result.code == 0, "\(model): \(result.error)")
    return (try Picture(contentsOf: file), result.error)
  }

  private func refusal(_ model: [String], environment: [String: String] = [:]) throws -> Program.Result {
    try TemporaryFolder.with { folder in
      let output = folder.appendingPathComponent("a.png")
      let result = try Program.run(
        ["generate", "--prompt", "a cat", "--steps", "1", "--device", "cpu", "--output", output.path] + model,
        environment: environment)
      #expect(!FileManager.default.fileExists(atPath: output.path))
      return result
    }
  }

  /// What a replay prints: each step's loss and errors, and the largest.
  private func replay(_ model: [String], of name: String, in folder: URL, device: String) throws -> String {
    let trace = source(name).appendingPathComponent("replay.safetensors").path
    let result = try Program.run(
      [
        "train", "--replay", trace, "--replay-forced", "--replay-tolerance", "1e-5", "--token", "<new>", "--precision",
        "f32", "--device", device, "--output", folder.appendingPathComponent(UUID().uuidString).path,
      ] + model)
    #expect(result.code == 0, "\(model): \(result.error)")
    return result.output
  }

  @Test(arguments: models) func everyFormDrawsTheSamePicture(_ model: String) throws {
    try TemporaryFolder.with { folder in
      let expected = try draw(["--model", source(model).path], in: folder).picture
      // A picture of one colour would tell nothing.
      #expect(Set(expected.pixels).count > 16)
      for form in ModelForm.allCases {
        let file = try form.write(model, in: folder)
        let (picture, said) = try draw(named(file, form, model), in: folder)
        #expect(picture.pixels == expected.pixels, "\(form)")
        #expect(said.contains("variant 'fp16'") == (form == .variant), "\(form): \(said)")
      }
    }
  }

  @Test(arguments: models) func everyFormReplaysTheSame(_ model: String) throws {
    try TemporaryFolder.with { folder in
      var outputs: [String: String] = [:]
      for form in ModelForm.allCases {
        outputs[form.rawValue] = try replay(
          named(form.write(model, in: folder), form, model), of: model, in: folder, device: "cpu")
      }
      let expected = try #require(outputs["folder"])
      #expect(expected.split(separator: "\n").count > 5 && expected.contains("loss"))
      for (form, output) in outputs { #expect(output == expected, "\(form)") }
    }
  }

  @Test(arguments: ["tiny-sd1", "tiny-sdxl-v"]) func everyFormIsTheSameOnOpenCL(_ model: String) throws {
    try TemporaryFolder.with { folder in
      var outputs: [String: String] = [:]
      var pictures: [[UInt8]] = []
      for form in ModelForm.allCases {
        let names = named(try form.write(model, in: folder), form, model)
        outputs[form.rawValue] = try replay(names, of: model, in: folder, device: "opencl")
        if [.folder, .checkpoint].contains(form) {
          pictures.append(try draw(names, in: folder, device: "opencl").picture.pixels)
        }
      }
      #expect(Set(outputs.values).count == 1, "\(outputs)")
      #expect(Set(pictures).count == 1)
    }
  }

  /// A file without its VAE says so; one in any form takes its place.
  @Test func aVAEIsTakenFromElsewhere() throws {
    try TemporaryFolder.with { folder in
      let model = "tiny-sd1"
      let expected = try draw(["--model", source(model).path], in: folder).picture
      let file = folder.appendingPathComponent("bare.safetensors")
      try Safetensors.write(
        SingleFilePlan.tensors(of: model) { !$0.hasPrefix("first_stage_model.") }, to: file)
      let bare = ["--model", file.path, "--config", source(model).path]
      let refused = try refusal(bare)
      #expect(refused.code == 65 && refused.error.contains("no VAE") && refused.error.contains("--vae"))

      let tensors = try SingleFilePlan.tensors(of: model) { $0.hasPrefix("first_stage_model.") }
      let below = tensors.map { (name: String($0.name.dropFirst("first_stage_model.".count)), tensor: $0.tensor) }
      let places = ["vae.safetensors", "below.safetensors", "vae.ckpt", "vae.pt"].map(folder.appendingPathComponent)
      try Safetensors.write(tensors, to: places[0])
      try Safetensors.write(below, to: places[1])
      try TorchSave.encode(below, layout: .zip).write(to: places[2])
      try TorchSave.encode(tensors, root: nil, layout: .legacy).write(to: places[3])
      for vae in places + [source(model), source(model).appendingPathComponent("vae")] {
        #expect(try draw(bare + ["--vae", vae.path], in: folder).picture.pixels == expected.pixels, "\(vae.path)")
      }

      // In place of another: the folder's own is of random numbers twice as large.
      let other = folder.appendingPathComponent("other")
      try ModelForm.copy(model, to: other)
      let weights = other.appendingPathComponent("vae/diffusion_pytorch_model.safetensors")
      let numbers = try SafetensorsFile(weights)
      try Safetensors.write(
        try numbers.names.map { name in
          let tensor = try numbers.tensor(name)
          return (name, HostTensor(tensor.shape, tensor.values.map { 2 * $0 }))
        }, to: weights)
      #expect(try draw(["--model", other.path], in: folder).picture.pixels != expected.pixels)
      let mended = ["--model", other.path, "--vae", places[0].path, "--config", source(model).path]
      #expect(try draw(mended, in: folder).picture.pixels == expected.pixels)
    }
  }

  /// Weights side by side, the second variant of the UNet alone with other numbers: the plain ones are taken unless another is named.
  @Test func aVariantIsTakenByItsName() throws {
    try TemporaryFolder.with { folder in
      let expected = try draw(["--model", source("tiny-sd1").path], in: folder).picture
      let model = folder.appendingPathComponent("tiny-sd1")
      try ModelForm.copy("tiny-sd1", to: model)
      let unet = model.appendingPathComponent("unet")
      let weights = try SafetensorsFile(unet.appendingPathComponent("diffusion_pytorch_model.safetensors"))
      let tensors = try weights.names.map { name in
        let tensor = try weights.tensor(name)
        return (name, HostTensor(tensor.shape, tensor.values.map { -$0 }))
      }
      try Safetensors.write(
        tensors, type: .float16, to: unet.appendingPathComponent("diffusion_pytorch_model.fp16.safetensors"))
      let plain = try draw(["--model", model.path], in: folder)
      #expect(plain.picture.pixels == expected.pixels)
      #expect(plain.said.contains("weights are there as plain, fp16; the plain ones are taken"), "\(plain.said)")
      let half = try draw(["--model", model.path, "--variant", "fp16"], in: folder)
      #expect(half.picture.pixels != expected.pixels)
      #expect(half.said.contains("the fp16 ones are taken"), "\(half.said)")
      // Of the parts that have none, what they have.
      let warnings = half.said.split(separator: "\n").filter { $0.contains("no weights of the variant 'fp16'") }
      #expect(warnings.count == 2, "\(half.said)")
      // The same numbers alone.
      try FileManager.default.removeItem(at: unet.appendingPathComponent("diffusion_pytorch_model.safetensors"))
      #expect(try draw(["--model", model.path], in: folder).picture.pixels == half.picture.pixels)
      let file = try ModelForm.safetensors.write("tiny-sd1", in: folder).path
      for (arguments, word) in [
        (["--model", model.path, "--variant", "bf16"], "it has: plain, fp16"),
        (["--model", file, "--variant", "fp16"], "the option is for folders"),
      ] {
        let refused = try refusal(arguments)
        #expect(refused.code == 64 && refused.error.contains(word), "\(refused.error)")
      }
    }
  }

  /// Sizes that are no family's: without a configuration the line says what can't be told and what to give.
  @Test func aConfigurationIsAskedFor() throws {
    try TemporaryFolder.with { folder in
      let file = try ModelForm.safetensors.write("tiny-sd1", in: folder)
      let refused = try refusal(["--model", file.path])
      let errors = refused.error.split(separator: "\n").filter { $0.contains(" can't be told") }
      #expect(refused.code == 65 && errors.count == 1 && refused.error.contains("--config"), "\(refused.error)")
      #expect(refused.error.contains("tiny-sd1.safetensors: Stable Diffusion 1"))
    }
  }

  /// The velocity, which SD2's folder says: without its word it is another picture, with the option the same.
  @Test func whatIsPredictedCanBeSaid() throws {
    try TemporaryFolder.with { folder in
      let expected = try draw(["--model", source("tiny-sd2").path], in: folder).picture
      let model = folder.appendingPathComponent("tiny-sd2")
      try ModelForm.copy("tiny-sd2", to: model)
      let file = model.appendingPathComponent("scheduler/scheduler_config.json")
      let text = try String(decoding: Data(contentsOf: file), as: UTF8.self)
      #expect(text.contains("v_prediction"))
      try Data(text.replacing("v_prediction", with: "epsilon").utf8).write(to: file)
      #expect(try draw(["--model", model.path], in: folder).picture.pixels != expected.pixels)
      let told = ["--model", model.path, "--prediction-type", "v_prediction"]
      #expect(try draw(told, in: folder).picture.pixels == expected.pixels)
      let refused = try refusal(["--model", model.path, "--prediction-type", "sample"])
      #expect(refused.code == 64 && refused.error.contains("v_prediction"), "\(refused.error)")
    }
  }

  /// A name of the hub is looked up in the cache, in the folders that Hugging Face's own library would look in.
  @Test func aNameOfTheHubIsFoundInTheCache() throws {
    try TemporaryFolder.with { folder in
      let expected = try draw(["--model", source("tiny-sd1").path], in: folder).picture
      let repository = folder.appendingPathComponent("hub/models--owner--tiny")
      let commit = "0123456789abcdef0123456789abcdef01234567"
      try ModelForm.copy("tiny-sd1", to: repository.appendingPathComponent("snapshots/\(commit)"))
      try ModelForm.copy("tiny-sd2", to: repository.appendingPathComponent("snapshots/fedc"))
      let refs = repository.appendingPathComponent("refs")
      try FileManager.default.createDirectory(at: refs, withIntermediateDirectories: true)
      try Data(commit.utf8).write(to: refs.appendingPathComponent("main"))
      try Data("fedc".utf8).write(to: refs.appendingPathComponent("other"))
      let cleared = ["HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": "", "HF_HOME": "", "XDG_CACHE_HOME": ""]
      let (home, hub) = (folder.path, folder.appendingPathComponent("hub").path)
      for (variable, value) in [("HF_HUB_CACHE", hub), ("HF_HOME", home)] {
        let environment = cleared.merging([variable: value]) { $1 }
        for name in ["owner/tiny", "owner/tiny@main", "owner/tiny@\(commit.prefix(7))"] {
          let (picture, said) = try draw(["--model", name], in: folder, environment: environment)
          #expect(picture.pixels == expected.pixels && said.contains("revision \(commit)"), "\(name): \(said)")
        }
        let other = try draw(["--model", "owner/tiny@other"], in: folder, environment: environment)
        #expect(other.picture.pixels != expected.pixels && other.said.contains("revision fedc"))
        for (name, command) in [
          ("owner/tiny@v2", "hf download owner/tiny --revision v2"), ("owner/none", "hf download owner/none"),
        ] {
          let refused = try refusal(["--model", name], environment: environment)
          #expect(refused.code == 66 && refused.error.contains(command), "\(refused.error)")
        }
      }
    }
  }

  /// The folder of a run knows the checkpoint that it was started from and how that was read; another in its place is refused.
  @Test func aRunFromASingleFileIsGoneOnWith() throws {
    try TemporaryFolder.with { folder in
      let model = "tiny-sd1"
      let file = try ModelForm.checkpoint.write(model, in: folder)
      func train(_ steps: Int, _ name: String) throws -> URL {
        let run = folder.appendingPathComponent(name)
        let result = try Program.run([
          "train", "--model", file.path, "--config", source(model).path, "--vae", source(model).path, "--images",
          "demo:my-cat", "--token", "<toy>", "--initializer", "cat", "--method", "plain", "--resolution", "16",
          "--device", "cpu", "--steps", "\(steps)", "--output", run.path,
        ])
        #expect(result.code == 0, "\(result.error)")
        return run
      }
      func word(_ run: URL) throws -> Data {
        try Data(contentsOf: run.appendingPathComponent("learned_embeds.safetensors"))
      }
      let (unbroken, resumed) = (try train(4, "a"), try train(2, "b"))
      #expect(try word(unbroken) != word(resumed))
      let arguments = ["train", "--resume", resumed.path, "--steps", "4"]
      let sound = try Data(contentsOf: file)
      var tensors = try SingleFilePlan.tensors(of: model)
      tensors[0].tensor.values[0] += 1
      try TorchSave.encode(tensors, layout: .zip).write(to: file)
      let changed = try Program.run(arguments)
      #expect(changed.code == 65 && changed.error.contains("can't be gone on with"), "\(changed.error)")
      try FileManager.default.removeItem(at: file)
      let gone = try Program.run(arguments)
      #expect(gone.code == 66 && gone.error.contains(file.path), "\(gone.error)")
      try sound.write(to: file)
      let more = try Program.run(arguments)
      #expect(more.code == 0, "\(more.error)")
      #expect(try word(unbroken) == word(resumed))
    }
  }
}
