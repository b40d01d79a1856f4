import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite struct ModelFolderTests {
  private struct Size: Decodable {
    let width: Int

    enum CodingKeys: String, CodingKey {
      case width = "hidden_size"
    }
  }

  /// A folder that has what the cases take away from.
  private func make(_ folder: URL, weights: String = "model.safetensors") throws -> ModelFolder {
    try Data("{\"_class_name\":\"StableDiffusionPipeline\"}".utf8).write(
      to: folder.appendingPathComponent("model_index.json"))
    let component = folder.appendingPathComponent("text_encoder")
    try FileManager.default.createDirectory(at: component, withIntermediateDirectories: true)
    try Data("{\"hidden_size\":8}".utf8).write(to: component.appendingPathComponent("config.json"))
    try Safetensors.write(
      [("text_model.a.weight", HostTensor([2], [1, 2]))], to: component.appendingPathComponent(weights))
    return try ModelFolder(folder)
  }

  /// Folders that diffusers wrote: Tools/reference.
  @Test(arguments: ["tiny-sd1", "tiny-sd2", "tiny-odd", "tiny-deep"]) func opensWhatDiffusersWrites(name: String) throws
  {
    let model = try ModelFolder(Fixtures.url("models/\(name)"))
    #expect(model.pipelineClass == "StableDiffusionPipeline")
    #expect(try model.configuration("text_encoder", as: Size.self).width > 0)
    for component in ["text_encoder", "unet", "vae"] { _ = try model.weights(component) }
    let covered = try model.sha256().keys
    #expect(covered.filter { $0.hasSuffix(".safetensors") }.count == 3)
    for file in [
      "unet/config.json", "vae/config.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json",
    ] {
      #expect(covered.contains(file))
    }
    #expect(try model.weights("unet").contains("conv_in.weight"))
  }

  @Test(arguments: ["model.safetensors", "diffusion_pytorch_model.safetensors", "model.fp16.safetensors"])
  func findsTheWeights(name: String) throws {
    try TemporaryFolder.with { folder in
      let model = try make(folder, weights: name)
      #expect(try model.weightFiles("text_encoder").map(\.lastPathComponent) == [name])
      #expect(try model.weights("text_encoder").take("a.weight", [2]).values == [1, 2])
    }
  }

  @Test func findsWeightsInPieces() throws {
    try TemporaryFolder.with { folder in
      let model = try make(folder, weights: "model-00001-of-00002.safetensors")
      let component = model.folder("text_encoder")
      try Safetensors.write(
        [("b", HostTensor([1], [3]))], to: component.appendingPathComponent("model-00002-of-00002.safetensors"))
      let index = component.appendingPathComponent("model.safetensors.index.json")
      try Data(
        """
        {"metadata":{"total_size":12},"weight_map":{
          "text_model.a.weight":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}
        """.utf8
      ).write(to: index)
      let weights = try model.weights("text_encoder")
      _ = try weights.take("b", [1])
      _ = try weights.take("text_model.a.weight", [2])
      try weights.finish()
      for outside in ["../model.safetensors", "/etc/passwd", "passwd"] {
        try Data("{\"weight_map\":{\"a\":\"\(outside)\"}}".utf8).write(to: index)
        #expect(userError { _ = try model.weights("text_encoder") }?.kind == .badData)
      }
    }
  }

  @Test func saysWhatIsMissing() throws {
    try TemporaryFolder.with { folder in
      let nowhere = folder.appendingPathComponent("nowhere")
      #expect(userError { _ = try ModelFolder(nowhere) }?.kind == .noInput)
      #expect(userError { _ = try ModelFolder(folder) }?.message.contains("model_index.json") == true)
      let model = try make(folder)
      #expect(userError { _ = try ModelFolder(folder.appendingPathComponent("model_index.json")) }?.kind == .noInput)
      #expect(userError { _ = try model.weights("unet") }?.kind == .noInput)
      #expect(userError { _ = try model.configuration("unet", as: Size.self) }?.kind == .noInput)
      let file = model.folder("text_encoder").appendingPathComponent("model.safetensors")
      try FileManager.default.removeItem(at: file)
      #expect(userError { _ = try model.weights("text_encoder") }?.kind == .noInput)
      try Data([0x80]).write(to: model.folder("text_encoder").appendingPathComponent("pytorch_model.bin"))
      let pickle = userError { _ = try model.weights("text_encoder") }
      #expect(pickle?.kind == .noInput)
      #expect(pickle?.message.contains("pickle") == true)
    }
  }

  @Test(arguments: ["", "{", "[]", "{\"hidden_size\":\"8\"}", "{}", "{\"hidden_size\":null}", "{\"hidden_size\":1e99}"])
  func saysWhatIsWrongInAConfiguration(json: String) throws {
    try TemporaryFolder.with { folder in
      let model = try make(folder)
      try Data(json.utf8).write(to: model.folder("text_encoder").appendingPathComponent("config.json"))
      let error = userError { _ = try model.configuration("text_encoder", as: Size.self) }
      #expect(error?.kind == .badData)
      #expect(error?.message.contains("text_encoder/config.json") == true)
    }
  }
}
