import Foundation
import ModelFiles
import Synchronization
import Tensors
import TestSupport
import Testing

@Suite struct DiffusersFolderTests {
  private struct Size: Decodable {
    let width: Int

    enum CodingKeys: String, CodingKey {
      case width = "hidden_size"
    }
  }

  /// A folder that has what the cases take away from.
  private func make(_ folder: URL, weights: String = "model.safetensors") throws -> DiffusersFolder {
    try Data("{\"_class_name\":\"StableDiffusionPipeline\"}".utf8).write(
      to: folder.appendingPathComponent("model_index.json"))
    let component = folder.appendingPathComponent("text_encoder")
    try FileManager.default.createDirectory(at: component, withIntermediateDirectories: true)
    try Data("{\"hidden_size\":8}".utf8).write(to: component.appendingPathComponent("config.json"))
    try Safetensors.write(
      [("text_model.a.weight", HostTensor([2], [1, 2]))], to: component.appendingPathComponent(weights))
    return try DiffusersFolder(folder)
  }

  /// Folders that diffusers wrote: Tools/reference.
  @Test(arguments: ["tiny-sd1", "tiny-sd2", "tiny-odd", "tiny-deep"]) func opensWhatDiffusersWrites(name: String) throws
  {
    let model = try DiffusersFolder(Fixtures.url("models/\(name)"))
    #expect(model.pipelineClass == "StableDiffusionPipeline")
    #expect(try model.configuration(.textEncoder, as: Size.self).width > 0)
    for component in [Component.textEncoder, .unet, .vae] { _ = try model.weights(component) }
    let covered = try model.sha256().keys
    #expect(covered.filter { $0.hasSuffix(".safetensors") }.count == 3)
    for file in [
      "unet/config.json", "vae/config.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json",
    ] {
      #expect(covered.contains(file))
    }
    #expect(try model.weights(.unet).contains("conv_in.weight"))
  }

  @Test(arguments: ["model.safetensors", "diffusion_pytorch_model.safetensors", "model.fp16.safetensors"])
  func findsTheWeights(name: String) throws {
    try TemporaryFolder.with { folder in
      let model = try make(folder, weights: name)
      #expect(try model.weightFiles(.textEncoder).map(\.lastPathComponent) == [name])
      #expect(try model.weights(.textEncoder).take("text_model.a.weight", [2]).values == [1, 2])
    }
  }

  @Test func findsWeightsInPieces() throws {
    try TemporaryFolder.with { folder in
      let model = try make(folder, weights: "model-00001-of-00002.safetensors")
      let component = model.folder(.textEncoder)
      try Safetensors.write(
        [("b", HostTensor([1], [3]))], to: component.appendingPathComponent("model-00002-of-00002.safetensors"))
      let index = component.appendingPathComponent("model.safetensors.index.json")
      try Data(
        """
        {"metadata":{"total_size":12},"weight_map":{
          "text_model.a.weight":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}
        """.utf8
      ).write(to: index)
      let weights = try model.weights(.textEncoder)
      _ = try weights.take("b", [1])
      _ = try weights.take("text_model.a.weight", [2])
      try weights.finish()
      for outside in ["../model.safetensors", "/etc/passwd", "passwd"] {
        try Data("{\"weight_map\":{\"a\":\"\(outside)\"}}".utf8).write(to: index)
        #expect(userError { _ = try model.weights(.textEncoder) }?.kind == .badData)
      }
    }
  }

  @Test func saysWhatIsMissing() throws {
    try TemporaryFolder.with { folder in
      let nowhere = folder.appendingPathComponent("nowhere")
      #expect(userError { _ = try DiffusersFolder(nowhere) }?.kind == .noInput)
      #expect(userError { _ = try DiffusersFolder(folder) }?.message.contains("model_index.json") == true)
      let model = try make(folder)
      #expect(
        userError { _ = try DiffusersFolder(folder.appendingPathComponent("model_index.json")) }?.kind == .noInput)
      #expect(userError { _ = try model.weights(.unet) }?.kind == .noInput)
      #expect(userError { _ = try model.configuration(.unet, as: Size.self) }?.kind == .noInput)
      let file = model.folder(.textEncoder).appendingPathComponent("model.safetensors")
      try FileManager.default.removeItem(at: file)
      #expect(userError { _ = try model.weights(.textEncoder) }?.kind == .noInput)
      try Data([0x80]).write(to: model.folder(.textEncoder).appendingPathComponent("pytorch_model.bin"))
      #expect(userError { _ = try model.weights(.textEncoder) }?.kind == .badData)
    }
  }

  /// What downloads leave: the text of Git LFS's pointers is from its specification, the refusals are Hugging Face's.
  @Test func saysWhatLiesInAFilesPlace() throws {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 492265168\n"
    let page = "\u{FEFF}\r\n<!DOCTYPE html>\n<html lang=\"en\"></html>"
    try TemporaryFolder.with { folder in
      let model = try make(folder)
      let component = model.folder(.textEncoder)
      for name in ["model.safetensors", "config.json"] {
        let file = component.appendingPathComponent(name)
        func open() throws {
          _ = name == "config.json" ? try model.configuration(.textEncoder, as: Size.self).width : 0
          _ = try model.weights(.textEncoder)
        }
        let sound = try Data(contentsOf: file)
        for (text, word) in [
          (pointer, "Git LFS"), (page, "web page"), ("<HTML>", "web page"), ("Entry not found", "refusal"),
        ] {
          try Data(text.utf8).write(to: file)
          let error = userError(open)
          #expect(error?.kind == .badData && error?.message.contains(word) == true, "\(name): \(text)")
          #expect(error?.message.contains(name) == true)
        }
        try FileManager.default.removeItem(at: file)
        try FileManager.default.createSymbolicLink(atPath: file.path, withDestinationPath: "../blobs/0123")
        let link = userError(open)
        #expect(link?.kind == .noInput && link?.message.contains("../blobs/0123") == true)
        try FileManager.default.removeItem(at: file)
        try sound.write(to: file)
      }
      try FileManager.default.removeItem(at: component)
      try FileManager.default.createSymbolicLink(atPath: component.path, withDestinationPath: "/nowhere/encoder")
      #expect(userError { _ = try model.weights(.textEncoder) }?.message.contains("/nowhere/encoder") == true)
      let link = folder.appendingPathComponent("link")
      try FileManager.default.createSymbolicLink(atPath: link.path, withDestinationPath: "gone")
      #expect(userError { _ = try DiffusersFolder(link) }?.message.contains("a link to gone") == true)
    }
  }

  /// `refs/main` goes before the newest; where it names nothing that is there, the newest is taken.
  @Test func opensARepositoryOfHuggingFacesCache() throws {
    try TemporaryFolder.with { folder in
      let cache = folder.appendingPathComponent("models--owner--name")
      func snapshot(_ name: String) -> URL { cache.appendingPathComponent("snapshots/\(name)") }
      for (name, age) in [("aaa", 100.0), ("bbb", 50), ("ccc", 75)] {
        try FileManager.default.createDirectory(at: snapshot(name), withIntermediateDirectories: true)
        _ = try make(snapshot(name))
        try FileManager.default.setAttributes(
          [.modificationDate: Date(timeIntervalSinceNow: -age)], ofItemAtPath: snapshot(name).path)
      }
      let lines = Mutex<[String]>([])
      func opened() throws -> String {
        try DiffusersFolder(cache) { line in lines.withLock { $0.append(line) } }.url.lastPathComponent
      }
      #expect(try opened() == "bbb")
      let refs = cache.appendingPathComponent("refs")
      try FileManager.default.createDirectory(at: refs, withIntermediateDirectories: true)
      for (ref, expected) in [("aaa\n", "aaa"), ("gone", "bbb"), ("../../..", "bbb")] {
        try Data(ref.utf8).write(to: refs.appendingPathComponent("main"))
        #expect(try opened() == expected)
        #expect(lines.withLock { $0.last }?.contains("snapshot \(expected)") == true)
      }
      // A snapshot that was fetched in part is none.
      try FileManager.default.removeItem(at: snapshot("bbb").appendingPathComponent("model_index.json"))
      #expect(try opened() == "ccc")
      for name in ["aaa", "ccc"] { try FileManager.default.removeItem(at: snapshot(name)) }
      #expect(userError { _ = try opened() }?.kind == .noInput)
    }
  }

  @Test func namesTheFolderThatIsMeant() throws {
    try TemporaryFolder.with { folder in
      let model = try make(folder)
      #expect(
        userError { _ = try DiffusersFolder(model.folder(.textEncoder)) }?.message.contains("folder above") == true)
      let outer = folder.appendingPathComponent("outer")
      try FileManager.default.createDirectory(
        at: outer.appendingPathComponent("sd15"), withIntermediateDirectories: true)
      _ = try make(outer.appendingPathComponent("sd15"))
      try FileManager.default.removeItem(at: folder.appendingPathComponent("model_index.json"))
      #expect(userError { _ = try DiffusersFolder(outer) }?.message.contains("'sd15'") == true)
    }
  }

  @Test(arguments: ["", "{", "[]", "{\"hidden_size\":\"8\"}", "{}", "{\"hidden_size\":null}", "{\"hidden_size\":1e99}"])
  func saysWhatIsWrongInAConfiguration(json: String) throws {
    try TemporaryFolder.with { folder in
      let model = try make(folder)
      try Data(json.utf8).write(to: model.folder(.textEncoder).appendingPathComponent("config.json"))
      let error = userError { _ = try model.configuration(.textEncoder, as: Size.self) }
      #expect(error?.kind == .badData)
      #expect(error?.message.contains("text_encoder/config.json") == true)
    }
  }
}
