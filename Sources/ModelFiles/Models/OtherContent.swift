import Tensors

/// What a file of tensors is when it is not what it was opened as: told by names that only such a file has. Whether it is a model that
/// is run `SingleFile.other` tells.
public struct OtherContent: Sendable, Hashable {
  /// Such as `a LoRA`.
  public let kind: String
  /// What to do instead of naming it as a model.
  let remedy: String

  init(_ kind: String, remedy: String = "name a checkpoint of Stable Diffusion 1, 2 or XL") {
    self.kind = kind
    self.remedy = remedy
  }

  /// A file of learned words, which any word may stand in besides.
  public static let embedding = OtherContent("an embedding, not a model", remedy: "give it by --embedding")

  /// The first that fits counts. A sign is a place in the tree of names; one that ends with `*` is how a name begins, one that
  /// begins with it how a name goes on.
  private static let kinds: [(content: OtherContent, signs: [String])] = [
    (
      OtherContent("a LoRA"),
      ["lora_unet_*", "lora_te*", "*.lora_down.*", "*.lora_up.*", "*.lora_A.*", "*.lora.up.*", "*.hada_w1_a"]
    ),
    (
      OtherContent("a checkpoint of a training run", remedy: "name the model that the run was started with"),
      ["rows", "optimizer"]
    ),
    (OtherContent("Stable Diffusion 3"), ["model.diffusion_model.joint_blocks", "joint_blocks"]),
    (
      OtherContent("Flux or a model built like it"),
      ["model.diffusion_model.double_blocks", "double_blocks", "model.diffusion_model.single_transformer_blocks"]
    ),
    (
      OtherContent("a model of transformer blocks, such as SD3 or Flux in diffusers' naming"), ["transformer_blocks"]
    ),
    (
      OtherContent("Stable Cascade"),
      ["model.diffusion_model.clip_txt_mapper", "clip_txt_mapper", "clip_txt_pooled_mapper"]
    ),
    (
      OtherContent("a ControlNet"),
      ["control_model", "controlnet_cond_embedding", "input_hint_block", "controlnet_down_blocks"]
    ),
    (OtherContent("an IP-Adapter"), ["image_proj", "ip_adapter"]),
    (OtherContent("a model of no known family"), ["model.diffusion_model"]),
    (
      OtherContent("a UNet in diffusers' naming", remedy: "name the folder of the whole model"),
      ["down_blocks", "mid_block"]
    ),
    (
      OtherContent("a VAE", remedy: "a VAE is given by --vae"),
      ["first_stage_model", "decoder.up", "decoder.up_blocks", "encoder.down", "encoder.down_blocks"]
    ),
    (
      OtherContent("a text encoder", remedy: "name a whole model"),
      ["text_model", "cond_stage_model", "conditioner", "transformer.resblocks", "encoder.block"]
    ),
    (.embedding, ["emb_params", "emp_params", "string_to_param", "clip_l", "clip_g"]),
  ]

  /// Nil where the names are no known kind of file's.
  public init?(names: some Sequence<String>) {
    let names = Array(names)
    guard let kind = Self.kinds.first(where: { $0.signs.contains { Self.isThere($0, names) } }) else { return nil }
    self = kind.content
  }

  private static func isThere(_ sign: String, _ names: [String]) -> Bool {
    let middle = sign.replacing("*", with: "")
    if sign.hasPrefix("*") { return names.contains { $0.contains(middle) } }
    if sign.hasSuffix("*") { return names.contains { $0.utf8.starts(with: middle.utf8) } }
    return names.contains { name in
      name.utf8.starts(with: sign.utf8)
        && (name.utf8.count == sign.utf8.count || name.utf8.dropFirst(sign.utf8.count).first == UInt8(ascii: "."))
    }
  }
}
