import Foundation
import ModelFiles
import StableDiffusion
import TestSupport
import Tensors
import Testing

/// What is read off the tensors of full-size checkpoints in the original naming, against what diffusers and transformers write of
/// the same models (Tools/reference/family_models.py).
@Suite struct DerivedConfigurationTests {
  /// A tree of names, whose leaves are shapes; "0-9" are ten parts alike.
  private indirect enum Tree: Decodable {
    case shape([Int])
    case parts([String: Tree])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let shape = try? container.decode([Int].self) {
        self = .shape(shape)
      } else {
        self = .parts(try container.decode([String: Tree].self))
      }
    }

    func shapes(_ path: String = "") -> [(name: String, shape: [Int])] {
      switch self {
      case .shape(let shape): [(path, shape)]
      case .parts(let parts):
        parts.flatMap { key, tree in
          let ends = key.split(separator: "-").compactMap { Int($0) }
          let keys = ends.count == 2 ? (ends[0]...ends[1]).map { "\($0)" } : [key]
          return keys.flatMap { tree.shapes(path.isEmpty ? $0 : "\(path).\($0)") }
        }
      }
    }
  }

  private struct Model: Decodable {
    struct Configurations: Decodable {
      let unet: UNetConfiguration
      let vae: AutoencoderConfiguration
      let textEncoder: CLIPTextConfiguration
      let textEncoder2: CLIPTextConfiguration?
      let scheduler: SchedulerConfiguration

      enum CodingKeys: String, CodingKey {
        case unet, vae, scheduler
        case textEncoder = "text_encoder"
        case textEncoder2 = "text_encoder_2"
      }
    }

    let tensors: Tree
    let count: Int
    let configurations: Configurations

    init(_ name: String) throws {
      let file = try File(jsonFile: Fixtures.url("single_files/shapes.json"))
      self = try #require(file.models[name])
    }

    private struct File: Decodable { let models: [String: Model] }
  }

  /// A checkpoint of these tensors whose numbers are all 0, except one's: a file of holes.
  private func write(_ shapes: [(name: String, shape: [Int])], alternating: String, to url: URL) throws {
    var header: [String] = []
    var end = 0
    var place = 0..<0
    for (name, shape) in shapes.sorted(by: { $0.name < $1.name }) {
      let next = end + 2 * shape.reduce(1, *)
      header.append("\"\(name)\":{\"dtype\":\"F16\",\"shape\":\(shape),\"data_offsets\":[\(end),\(next)]}")
      if name == alternating { place = end..<next }
      end = next
    }
    let text = Data("{\(header.joined(separator: ","))}".utf8)
    try (withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) } + text).write(to: url)
    let handle = try FileHandle(forWritingTo: url)
    defer { try? handle.close() }
    try handle.truncate(atOffset: UInt64(8 + text.count + end))
    try handle.seek(toOffset: UInt64(8 + text.count + place.lowerBound))
    // 1 and -1 in turn.
    try handle.write(contentsOf: Data((0..<place.count / 4).flatMap { _ in [0x00, 0x3C, 0x00, 0xBC] as [UInt8] }))
  }

  @Test(arguments: ["sd15", "sd21", "sdxl"]) func areThoseOfTheFolders(name: String) throws {
    let model = try Model(name)
    let shapes = model.tensors.shapes()
    #expect(shapes.count == model.count)
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("model.safetensors")
      // By these biases SD2's models tell that they predict the velocity.
      let biases = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
      try write(shapes, alternating: name == "sd21" ? biases : "", to: url)
      let derived = try SingleFile(url).shape()
      let expected = model.configurations
      var unet = derived.unet
      // Folders count heads of levels, too, in which nothing attends: only SDXL's first is one that has no middle either.
      if name == "sdxl" { unet.levels[0].heads = expected.unet.levels[0].heads }
      #expect(unet == expected.unet)
      #expect(derived.autoencoder == expected.vae)
      let encoders = [expected.textEncoder] + (expected.textEncoder2.map { [$0] } ?? [])
      #expect(derived.textEncoders.count == encoders.count)
      for (index, (found, encoder)) in zip(derived.textEncoders, encoders).enumerated() {
        var (found, encoder) = (found, encoder)
        // Only SDXL's second has a projection that is read.
        if index == 0 { (found.projectionWidth, encoder.projectionWidth) = (nil, nil) }
        #expect(found == encoder)
      }
      var scheduler = expected.scheduler
      scheduler.className = nil
      #expect(derived.scheduler == scheduler)
      #expect(derived.resolution == ["sd15": 512, "sd21": 768, "sdxl": 1024][name])
    }
  }

  /// CLIP's vocabulary is built in; what prompts are filled up with is the end of text, and "!", token 0, for OpenCLIP's encoders, as
  /// diffusers' folders of SD1, SD2 and SDXL say.
  @Test(arguments: [
    ("sd15", [Component.textEncoder: 49407]), ("sd21", [.textEncoder: 0]),
    ("sdxl", [.textEncoder: 49407, .textEncoder2: 0]),
  ]) func promptsAreFilledUpAsInTheFolders(name: String, padding: [Component: Int]) throws {
    let model = try Model(name)
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("model.safetensors")
      try write(model.tensors.shapes(), alternating: "", to: url)
      let file = try SingleFile(url)
      for (component, padding) in padding {
        let batch = try StableDiffusionModel(file).tokenizer(component).encode("a photo of a cat")
        // CLIP's own numbers of these words.
        #expect(Array(batch.ids.prefix(7)) == [49406, 320, 1125, 539, 320, 2368, 49407])
        #expect(batch.ids.count == 77 && batch.ids.dropFirst(7).allSatisfy { $0 == padding })
      }
    }
  }
}
