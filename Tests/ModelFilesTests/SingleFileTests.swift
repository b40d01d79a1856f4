import Foundation
import ModelFiles
import Synchronization
import Tensors
import TestSupport
import Testing

/// Single files made of the tiny model folders by the plans of Tools/reference/single_file.py, which diffusers' own
/// `from_single_file` agrees with; every tensor's digest is the script's.
@Suite struct SingleFileTests {
  /// Writes a model as a single file.
  private func write(
    _ name: String, to url: URL, metadata: [String: String] = [:], where isWanted: (String) -> Bool = { _ in true },
    more: [(name: String, tensor: HostTensor)] = []
  ) throws {
    try Safetensors.write(try SingleFilePlan.tensors(of: name, where: isWanted) + more, metadata: metadata, to: url)
  }

  private func sha256(_ tensor: HostTensor) -> String {
    FileHash.sha256(tensor.values.withUnsafeBytes { Data($0) })
  }

  @Test(arguments: ["tiny-sd1", "tiny-sd2", "tiny-odd", "tiny-deep", "tiny-sdxl", "tiny-sdxl-v"])
  func givesEveryTensorBitForBit(name: String) throws {
    let conversion = try SingleFilePlan(name)
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("\(name).safetensors")
      try write(name, to: url)
      let file = try SingleFile(url)
      let families = ["sd1": ModelFamily.stableDiffusion1, "sd2": .stableDiffusion2, "sdxl": .stableDiffusionXL]
      #expect(file.family == families[conversion.family])
      var sources: [Component: any WeightSource] = [:]
      for (path, digest) in conversion.sha256 {
        let parts = path.split(separator: "/", maxSplits: 1).map(String.init)
        let component = try #require(Component(rawValue: parts[0]))
        let shape = try #require(file.tensors(component).shape(of: parts[1]), "\(path)")
        let source = try sources[component] ?? file.weights(component)
        sources[component] = source
        let tensor = try source.take(parts[1], shape)
        #expect(sha256(tensor) == digest, "\(path)")
      }
      // Nothing is left but the block that SD2 does not read.
      for source in sources.values { try source.finish() }
    }
  }

  /// The same numbers under both of the folder's own names and the original ones, and out of torch's files.
  @Test(arguments: ["vae.ckpt", "vae-legacy.pt"]) func readsAVAEOfTorch(name: String) throws {
    let file = try AutoencoderFile(Fixtures.url("single_files/\(name)"))
    let weights = try file.weights { _ in }
    for (path, digest) in try SingleFilePlan("tiny-sdxl-v").sha256 where path.hasPrefix("vae/") {
      let tensor = String(path.dropFirst(4))
      let shape = try #require(file.tensors.shape(of: tensor), "\(path)")
      #expect(sha256(try weights.take(tensor, shape)) == digest, "\(path)")
    }
    try weights.finish()
  }

  /// By the signs that ComfyUI goes by, and by the file's own word.
  @Test func tellsWhatIsPredicted() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("model.safetensors")
      func prediction(
        _ name: String, _ metadata: [String: String] = [:], without: [String] = []
      ) throws -> [Bool] {
        try write(name, to: url, metadata: metadata) { !without.contains($0) }
        let prediction = try SingleFile(url).prediction
        return [prediction.isVelocity, prediction.hasZeroSNR]
      }
      let (word, epsilon) = (["modelspec.prediction_type": "v"], ["modelspec.prediction_type": "epsilon"])
      let found = [
        try prediction("tiny-sdxl"), try prediction("tiny-sdxl-v"), try prediction("tiny-sdxl-v", without: ["ztsnr"]),
        try prediction("tiny-sdxl", word), try prediction("tiny-sd1"), try prediction("tiny-sd1", epsilon),
        try prediction("tiny-sd2", epsilon),
      ]
      #expect(
        found == [
          [false, false], [true, true], [true, false], [true, false], [false, false], [false, false], [false, false],
        ])
    }
  }

  @Test func takesRunningMeansOnlyWhereAsked() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("model.safetensors")
      try write("tiny-sd1", to: url)
      #expect(userError { _ = try SingleFile(url, usesMeans: true) }?.kind == .badData)
      let plain = try SafetensorsFile(url)
      let means = try plain.names.filter { $0.hasPrefix("model.diffusion_model.") }.map { name in
        let tensor = try plain.tensor(name)
        return (
          name: "model_ema." + name.dropFirst("model.".count).replacing(".", with: ""),
          tensor: HostTensor(tensor.shape, tensor.values.map { $0 / 2 })
        )
      }
      try write("tiny-sd1", to: url, more: means)
      let shape: Shape = [16, 4, 3, 3]
      let weight = try SingleFile(url).weights(.unet).take("conv_in.weight", shape)
      let mean = try SingleFile(url, usesMeans: true).weights(.unet).take("conv_in.weight", shape)
      #expect(mean.values == weight.values.map { $0 / 2 })
    }
  }

  @Test func saysWhatIsMissing() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("model.safetensors")
      for (part, component, word) in [
        ("first_stage_model", Component.vae, "--vae"), ("cond_stage_model", .textEncoder, "no text encoder"),
      ] {
        try write("tiny-sd1", to: url) { !$0.hasPrefix(part) }
        let error = userError { _ = try SingleFile(url).weights(component) }
        #expect(error?.kind == .badData && error?.message.contains(word) == true)
      }
    }
  }

  /// Names that only other kinds of files have, as their own programs write them.
  @Test(arguments: [
    ("Stable Diffusion 3", ["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"], 0),
    ("Flux", ["double_blocks.0.img_attn.qkv.weight"], 0),
    ("LoRA", ["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"], 0),
    ("LoRA", ["unet.down_blocks.0.attentions.0.to_q.lora_A.weight"], 0),
    ("VAE", ["first_stage_model.encoder.conv_in.weight"], 0), ("VAE", ["decoder.up.0.block.0.norm1.weight"], 0),
    ("embedding", ["emb_params"], 0), ("embedding", ["clip_l", "clip_g"], 0),
    ("ControlNet", ["control_model.input_hint_block.0.weight"], 4),
    ("inpainting", ["cond_stage_model.transformer.text_model.final_layer_norm.weight"], 9),
    ("InstructPix2Pix", [], 8),
    ("refiner", ["model.diffusion_model.label_emb.0.0.weight", "conditioner.embedders.0.model.ln_final.weight"], 4),
    ("UNet in diffusers' naming", ["down_blocks.0.resnets.0.conv1.weight"], 0), ("no known kind", ["weight"], 0),
  ]) func refusesOthersByTheirName(word: String, names: [String], channels: Int) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("model.safetensors")
      var tensors = names.map { (name: $0, tensor: HostTensor(repeating: 0, [2, 2])) }
      if channels > 0 {
        tensors.append(
          ("model.diffusion_model.input_blocks.0.0.weight", HostTensor(repeating: 0, [8, channels, 3, 3])))
        tensors.append(("model.diffusion_model.out.2.weight", HostTensor(repeating: 0, [4, 8, 3, 3])))
      }
      try Safetensors.write(tensors, to: url)
      let error = try #require(userError { _ = try SingleFile(url) })
      #expect(error.kind == .badData && error.message.contains(word), "\(error.message)")
    }
  }

  /// Channels of which two kinds of model could be told, and so many that twice as many can't be counted.
  @Test(arguments: [(2, 1), (10, 5), (4, 1 << 62)]) func refusesAnyChannels(inputs: Int, outputs: Int) throws {
    func entry(_ shape: [Int]) -> String { "{\"dtype\":\"F8_E4M3\",\"shape\":\(shape),\"data_offsets\":[0,0]}" }
    let names = ["input_blocks.0.0.weight": [8, inputs, 0], "out.2.weight": [outputs, 0]]
    let header = "{" + names.map { "\"model.diffusion_model.\($0)\":\(entry($1))" }.joined(separator: ",") + "}"
    try refuses(header, "\(inputs) channels in, \(outputs) out")
  }

  /// A name's parts are places in a tree: of a name of a million parts they would fill the memory.
  @Test func refusesEndlessNames() throws {
    let name = String(repeating: "a.", count: 500_000)
    try refuses("{\"\(name)\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", "too long a name")
  }

  private func refuses(_ header: String, _ words: String) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("model.safetensors")
      try (withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) } + Data(header.utf8)).write(to: url)
      let error = try #require(userError { _ = try SingleFile(url) })
      #expect(error.kind == .badData && error.message.contains(words), "\(error.message.prefix(300))")
    }
  }
}
