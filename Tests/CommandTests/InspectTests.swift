import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// What `inspect` says of checkpoints: made by the plans of Tools/reference/single_file.py, which name each family, and of what is none,
/// by names that only other programs' files have.
@Suite struct InspectTests {
  private func inspect(_ file: URL) throws -> [String: Any] {
    let result = try Program.run(["inspect", file.path, "--json"])
    try #require(result.code == 0, "\(result.error)")
    return try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
  }

  /// Family and prediction are the folder's own, whatever the file's form.
  @Test(arguments: ["tiny-sd1", "tiny-sd2", "tiny-odd", "tiny-deep", "tiny-sdxl", "tiny-sdxl-v"])
  func aCheckpointIsTold(_ model: String) throws {
    let families = ["sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL"]
    let plan = try SingleFilePlan(model)
    try TemporaryFolder.with { folder in
      let tensors = try SingleFilePlan.tensors(of: model)
      for form in [ModelForm.safetensors, .checkpoint, .legacy] {
        let said = try inspect(form.write(model, in: folder))
        #expect(said["kind"] as? String == "a model" && said["family"] as? String == families[plan.family])
        #expect(said["tensors"] as? Int == tensors.count && said["types"] as? [String] == ["F32"])
        #expect(said["parameters"] as? Int == tensors.reduce(0) { $0 + $1.tensor.values.count })
        #expect(said["missing"] as? [String] == [] && said["holds_means"] as? Bool == false)
        let prediction = try #require(said["prediction"] as? [String: Any])
        // Of SD2 it is told by the spread of weights, which these random ones do not have.
        if plan.family == "sdxl" {
          let isVelocity = plan.plan["v_pred"] != nil
          #expect(prediction["type"] as? String == (isVelocity ? "v_prediction" : "epsilon"))
          #expect(prediction["zero_terminal_snr"] as? Bool == (plan.plan["ztsnr"] != nil))
        }
      }
    }
  }

  /// The short hash is of the whole file, the older one of 64 KiB from the second mebibyte on (AUTOMATIC1111's web UI).
  @Test func aCheckpointsPartsWordAndHashesAreSaid() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("model.safetensors")
      let tensors = try SingleFilePlan.tensors(of: "tiny-sdxl") { name in
        ["first_stage_model.", "conditioner.embedders.1."].allSatisfy { !name.hasPrefix($0) }
      }
      let more = [
        (name: "conditioner.embedders.0.extra", tensor: HostTensor([300_000], (0..<300_000).map { Float($0) }))
      ]
      try Safetensors.write(tensors + more, metadata: ["modelspec.prediction_type": "v"], type: .float16, to: url)
      let said = try inspect(url)
      #expect(said["missing"] as? [String] == ["text_encoder_2", "vae"] && said["types"] as? [String] == ["F16"])
      #expect((said["prediction"] as? [String: Any])?["type"] as? String == "v_prediction")
      #expect((said["metadata"] as? [String: String])?["modelspec.prediction_type"] == "v")
      let data = try Data(contentsOf: url)
      let file = try #require((said["files"] as? [[String: Any]])?.first)
      #expect(file["sha256"] as? String == FileHash.sha256(data) && file["bytes"] as? Int == data.count)
      #expect(file["short_hash"] as? String == String(FileHash.sha256(data).prefix(10)))
      #expect(file["legacy_hash"] as? String == String(FileHash.sha256(data[0x100000..<0x110000]).prefix(8)))
      let lines = try Program.run(["inspect", url.path]).output
      #expect(lines.contains("lacks       the second text encoder, the VAE\n"), "\(lines)")
      #expect(lines.contains("predicts    the velocity (its metadata)\n"), "\(lines)")
    }
  }

  @Test(arguments: [
    ("a LoRA", ["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"], 0),
    ("Stable Diffusion 3", ["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"], 0),
    ("Flux or a model built like it", ["double_blocks.0.img_attn.qkv.weight"], 0),
    ("a VAE", ["decoder.up.0.block.0.norm1.weight"], 0),
    ("a text encoder", ["text_model.encoder.layers.0.layer_norm1.weight"], 0),
    ("a UNet in diffusers' naming", ["down_blocks.0.resnets.0.conv1.weight"], 0),
    ("a ControlNet", ["control_model.input_hint_block.0.weight"], 4),
    ("an inpainting model (9 channels in, 4 out)", ["first_stage_model.x"], 9),
    ("the refiner of SDXL", ["model.diffusion_model.label_emb.0.0.weight", "conditioner.embedders.0.model.x"], 4),
    ("a checkpoint of a training run", ["rows.text_encoder.<toy>"], 0),
    ("a model of no known family", ["model.diffusion_model.x"], 0),
  ]) func whatIsNoModelIsToldByItsName(_ kind: String, _ names: [String], _ channels: Int) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("file.safetensors")
      var tensors = names.map { (name: $0, tensor: HostTensor([2, 2], [1, 2, 3, 4])) }
      if channels > 0 {
        tensors.append(
          ("model.diffusion_model.input_blocks.0.0.weight", HostTensor(repeating: 0, [8, channels, 3, 3])))
        tensors.append(("model.diffusion_model.out.2.weight", HostTensor(repeating: 0, [4, 8, 3, 3])))
      }
      try Safetensors.write(tensors, to: url)
      let said = try inspect(url)
      #expect(said["kind"] as? String == kind && said["family"] == nil && said["prediction"] == nil, "\(said)")
      #expect(said["tensors"] as? Int == tensors.count)
      // The same where it is given as a model or as an embedding, which no model can be.
      let draw = ["generate", "--prompt", "a", "--steps", "1", "--device", "cpu", "--output", "/dev/null"]
      for (more, word) in [
        (["--model", url.path], kind), (["--model", "demo", "--embedding", url.path], channels > 0 ? "a model" : kind),
      ] {
        let refused = try Program.run(draw + more)
        #expect(refused.code == 65 && refused.error.contains("is \(word)"), "\(refused.error)")
      }
    }
  }
}
