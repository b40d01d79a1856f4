import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

@Suite struct ConfigurationTests {
  private func unet(_ json: String) throws -> UNetConfiguration {
    try JSONDecoder().decode(UNetConfiguration.self, from: Data(json.utf8))
  }

  /// The settings are those of stable-diffusion-v1-5's unet/config.json.
  @Test func stableDiffusion1IsWhatItsFileSays() throws {
    let file = """
      {"act_fn": "silu", "attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280],
       "center_input_sample": false, "cross_attention_dim": 768, "down_block_types": ["CrossAttnDownBlock2D",
       "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"], "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0,
       "in_channels": 4, "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-05, "norm_num_groups": 32,
       "out_channels": 4, "sample_size": 64, "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
       "CrossAttnUpBlock2D"]}
      """
    #expect(try unet(file) == ModelShape.sd15.unet)
  }

  /// The settings are those of stable-diffusion-2-1's unet/config.json.
  @Test func stableDiffusion2IsWhatItsFileSays() throws {
    let file = """
      {"act_fn": "silu", "attention_head_dim": [5, 10, 20, 20], "block_out_channels": [320, 640, 1280, 1280],
       "center_input_sample": false, "cross_attention_dim": 1024, "down_block_types": ["CrossAttnDownBlock2D",
       "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"], "downsample_padding": 1,
       "dual_cross_attention": false, "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": 4, "layers_per_block": 2,
       "mid_block_scale_factor": 1, "norm_eps": 1e-05, "norm_num_groups": 32, "num_class_embeds": null,
       "only_cross_attention": false, "out_channels": 4, "sample_size": 96, "up_block_types": ["UpBlock2D",
       "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"], "use_linear_projection": true,
       "upcast_attention": true}
      """
    #expect(try unet(file) == ModelShape.sd21.unet)
  }

  /// The settings are those of stable-diffusion-xl-base-1.0's unet/config.json.
  @Test func stableDiffusionXLIsWhatItsFileSays() throws {
    let file = """
      {"act_fn": "silu", "addition_embed_type": "text_time", "addition_embed_type_num_heads": 64,
       "addition_time_embed_dim": 256, "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280],
       "center_input_sample": false, "class_embed_type": null, "class_embeddings_concat": false, "conv_in_kernel": 3,
       "conv_out_kernel": 3, "cross_attention_dim": 2048, "cross_attention_norm": null, "down_block_types": ["DownBlock2D",
       "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], "downsample_padding": 1, "dual_cross_attention": false,
       "encoder_hid_dim": null, "encoder_hid_dim_type": null, "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": 4,
       "layers_per_block": 2, "mid_block_only_cross_attention": null, "mid_block_scale_factor": 1, "mid_block_type":
       "UNetMidBlock2DCrossAttn", "norm_eps": 1e-05, "norm_num_groups": 32, "num_attention_heads": null,
       "num_class_embeds": null, "only_cross_attention": false, "out_channels": 4, "projection_class_embeddings_input_dim":
       2816, "resnet_out_scale_factor": 1.0, "resnet_skip_time_act": false, "resnet_time_scale_shift": "default",
       "sample_size": 128, "time_cond_proj_dim": null, "time_embedding_act_fn": null, "time_embedding_dim": null,
       "time_embedding_type": "positional", "timestep_post_act": null, "transformer_layers_per_block": [1, 2, 10],
       "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "upcast_attention": null,
       "use_linear_projection": true}
      """
    #expect(try unet(file) == ModelShape.sdxl.unet)
  }

  /// Transformer blocks for each residual block, the way up from the coarsest level, as diffusers' `UNet2DConditionModel` reads
  /// them; SSD-1B's UNet is written so.
  @Test func transformersMayBeGivenForEachBlock() throws {
    let base = """
      "block_out_channels": [320, 640, 1280], "layers_per_block": 2, "down_block_types": ["DownBlock2D",
      "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
      "UpBlock2D"], "transformer_layers_per_block": [1, [2, 3], [4, 5]]
      """
    let read = try unet("{\(base), \"reverse_transformer_layers_per_block\": [[6, 7, 10], [2, 1, 1], 1]}")
    #expect(read.levels.map(\.transformersDown) == [[0, 0], [2, 3], [4, 5]])
    #expect(read.levels.map(\.transformersUp) == [[0, 0, 0], [2, 1, 1], [6, 7, 10]])
    // diffusers' middle block has one transformer and takes the list's first number.
    #expect(read.middleTransformers == 4)
    let error = try #require(throws: UserError.self) { try unet("{\(base)}") }
    #expect(error.message.contains("transformer_layers_per_block") && error.message.contains("2 numbers for 3"))
  }

  @Test func tinySDXLIsTheFixtures() throws {
    let shape = try StableDiffusionModel(DiffusersFolder(Fixtures.url("models/tiny-sdxl"))).shape
    #expect(shape.unet == ModelShape.tinySDXL.unet && shape.autoencoder == ModelShape.tinySDXL.autoencoder)
    #expect(shape.textEncoders.map(\.pooledWidth) == [32, 36])
    #expect(shape.textEncoders.map(\.endOfText) == [741, 741], "2 in the second's file means the vocabulary's last")
  }

  @Test func theBuiltInShapeIsTheBuiltInModels() throws {
    let folder = try DiffusersFolder(
      Fixtures.folder.deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Sources/DemoModel/Resources/model"))
    let demo = ModelShape.demo
    #expect(try folder.configuration(.textEncoder, as: CLIPTextConfiguration.self) == demo.textEncoder)
    #expect(try folder.configuration(.unet, as: UNetConfiguration.self) == demo.unet)
    #expect(try folder.configuration(.vae, as: AutoencoderConfiguration.self) == demo.autoencoder)
  }

  /// What a setting of another model is answered with names the setting and what it says.
  @Test(arguments: [
    (#"{"addition_embed_type": "text"}"#, "addition_embed_type", "text"),
    (#"{"addition_embed_type": "text_time"}"#, "projection_class_embeddings_input_dim", "missing"),
    (
      #"{"addition_embed_type": "text_time", "projection_class_embeddings_input_dim": 2816}"#,
      "addition_time_embed_dim", "missing"
    ),
    (
      #"{"addition_embed_type": "text_time", "projection_class_embeddings_input_dim": 60, "addition_time_embed_dim": 10}"#,
      "projection_class_embeddings_input_dim", "60"
    ),
    (#"{"projection_class_embeddings_input_dim": 2816}"#, "projection_class_embeddings_input_dim", "2816"),
    (#"{"mid_block_type": null}"#, "mid_block_type", "null"),
    (#"{"num_attention_heads": 8}"#, "num_attention_heads", "8"),
    (#"{"transformer_layers_per_block": [1, 1]}"#, "transformer_layers_per_block", "2 levels"),
    (#"{"transformer_layers_per_block": 0}"#, "transformer_layers_per_block", "0 is not between 1"),
    (#"{"layers_per_block": -1}"#, "layers_per_block", "-1"),
    (#"{"class_embed_type": "timestep"}"#, "class_embed_type", "timestep"),
    (#"{"only_cross_attention": [true, true, true, false]}"#, "only_cross_attention", "true"),
    (#"{"dual_cross_attention": true}"#, "dual_cross_attention", "true"),
    (#"{"conv_in_kernel": 5}"#, "conv_in_kernel", "5"),
    (#"{"mid_block_type": "UNetMidBlock2D"}"#, "mid_block_type", "UNetMidBlock2D"),
    (#"{"in_channels": 9}"#, "in_channels", "inpainting"),
    (
      #"{"down_block_types": ["DownBlock2D", "SkipDownBlock2D", "DownBlock2D", "DownBlock2D"]}"#, "down_block_types",
      "Skip"
    ),
    (#"{"layers_per_block": [1, 2]}"#, "layers_per_block", "2 levels"),
    (#"{"layers_per_block": "two"}"#, "layers_per_block", "two"),
    (#"{"attention_head_dim": 7}"#, "7 heads", "320 channels"),
    (#"{"attention_head_dim": 1}"#, "1 heads", "160"),
    (#"{"block_out_channels": [320, 640, 1280, 1281]}"#, "1281", "groups"),
    (#"{"norm_num_groups": 0}"#, "norm_num_groups", "0 is not between 1"),
    (#"{"cross_attention_dim": [768, 768]}"#, "cross_attention_dim", "lists are not supported"),
    (#"{"block_out_channels": [4611686018427387904, 1, 1, 1]}"#, "block_out_channels", "4611686018427387904"),
    (#"{"sample_size": 4611686018427387904}"#, "sample_size", "4611686018427387904"),
    (#"{"time_embedding_dim": -1}"#, "time_embedding_dim", "-1"),
  ])
  func otherModelsAreRefused(json: String, setting: String, found: String) throws {
    let error = try #require(throws: UserError.self) { try unet(json) }
    #expect(error.kind == .badData)
    #expect(error.message.contains(setting) && error.message.contains(found), "\(error.message)")
  }

  /// Lists that say the same for every level are as good as one value, and null is as good as nothing.
  @Test func spellingsOfTheSameAreTheSame() throws {
    let plain = try unet("{}")
    let spelled = """
      {"only_cross_attention": [false, false, false, false], "layers_per_block": [2, 2, 2, 2],
       "attention_head_dim": null, "mid_block_only_cross_attention": null, "mid_block_scale_factor": 1.0}
      """
    #expect(try unet(spelled) == plain)
  }

  /// diffusers' `AutoencoderKL` takes `force_upcast` for true where the file is silent; files of VAEs that were made to fit float16
  /// say false.
  @Test func anAutoencoderIsStoredIn16BitsOnlyWhereItsFileSaysSo() throws {
    func precision(_ json: String, beside type: ElementType) throws -> ElementType {
      try JSONDecoder().decode(AutoencoderConfiguration.self, from: Data(json.utf8)).precision(beside: type)
    }
    for type in ElementType.allCases {
      #expect(try precision("{}", beside: type) == .float32)
      #expect(try precision(#"{"force_upcast": true}"#, beside: type) == .float32)
      #expect(try precision(#"{"force_upcast": false}"#, beside: type) == type)
    }
  }

  /// As transformers 5 saves the text encoder of a whole CLIP model.
  @Test func aTextEncodersSettingsMayStandOneLevelDeeper() throws {
    let inner = #"{"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}"#
    let outer = #"{"model_type": "clip", "projection_dim": 512, "text_config": \#(inner)}"#
    for json in [inner, outer] {
      #expect(try CLIPTextConfiguration(json: Data(json.utf8)) == ModelShape.sd15.textEncoder)
    }
  }

  @Test func otherTextEncodersAndAutoencodersAreRefused() throws {
    func decode<T: Decodable>(_ type: T.Type, _ json: String) throws -> T {
      try JSONDecoder().decode(type, from: Data(json.utf8))
    }
    for (json, word) in [
      (#"{"hidden_act": "relu"}"#, "relu"), (#"{"hidden_size": 30, "num_attention_heads": 4}"#, "30"),
      (#"{"num_hidden_layers": 0}"#, "num_hidden_layers"),
      (#"{"max_position_embeddings": 1}"#, "max_position_embeddings"),
    ] {
      let error = try #require(throws: UserError.self) { try decode(CLIPTextConfiguration.self, json) }
      #expect(error.message.contains(word), "\(error.message)")
    }
    for (json, word) in [
      (#"{"act_fn": "relu"}"#, "act_fn"), (#"{"shift_factor": 0.1159}"#, "shift_factor"),
      (#"{"down_block_types": ["AttnDownEncoderBlock2D"]}"#, "AttnDownEncoderBlock2D"),
      (#"{"block_out_channels": [1024]}"#, "1024"), (#"{"scaling_factor": 0}"#, "scaling_factor"),
    ] {
      let error = try #require(throws: UserError.self) { try decode(AutoencoderConfiguration.self, json) }
      #expect(error.message.contains(word), "\(error.message)")
    }
  }
}
