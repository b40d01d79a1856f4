import Tensors

/// The families of models that are run.
public enum ModelFamily: String, Sendable, CaseIterable, CustomStringConvertible {
  case stableDiffusion1
  case stableDiffusion2
  case stableDiffusionXL

  public var description: String {
    switch self {
    case .stableDiffusion1: "Stable Diffusion 1"
    case .stableDiffusion2: "Stable Diffusion 2"
    case .stableDiffusionXL: "Stable Diffusion XL"
    }
  }
}

/// What a file of tensors is when it is none of those models: told by names that only it has.
enum OtherContent {
  /// The first that fits counts. A sign is a place in the tree of names; one that ends with `*` is how a name begins, one that
  /// begins with it how a name goes on.
  private static let kinds: [(what: String, signs: [String], remedy: String?)] = [
    (
      "a LoRA",
      ["lora_unet_*", "lora_te*", "*.lora_down.*", "*.lora_up.*", "*.lora_A.*", "*.lora.up.*", "*.hada_w1_a"], nil
    ),
    ("Stable Diffusion 3", ["model.diffusion_model.joint_blocks", "joint_blocks"], nil),
    (
      "Flux or a model built like it",
      ["model.diffusion_model.double_blocks", "double_blocks", "model.diffusion_model.single_transformer_blocks"], nil
    ),
    ("a model of transformer blocks, such as SD3 or Flux in diffusers' naming", ["transformer_blocks"], nil),
    ("Stable Cascade", ["model.diffusion_model.clip_txt_mapper", "clip_txt_mapper", "clip_txt_pooled_mapper"], nil),
    (
      "a ControlNet", ["control_model", "controlnet_cond_embedding", "input_hint_block", "controlnet_down_blocks"], nil
    ),
    ("an IP-Adapter", ["image_proj", "ip_adapter"], nil),
    (
      "an embedding, not a model", ["emb_params", "emp_params", "string_to_param", "clip_l", "clip_g"],
      "give it by --embedding"
    ),
    ("a UNet in diffusers' naming", ["down_blocks"], "name the folder of the whole model"),
    (
      "a VAE", ["first_stage_model", "decoder.up", "decoder.up_blocks", "encoder.down_blocks"],
      "a VAE is given by --vae"
    ),
    (
      "a text encoder", ["text_model", "cond_stage_model", "conditioner.embedders", "transformer.resblocks"],
      "name a whole model"
    ),
  ]

  /// Why a file of these tensors can't be used as a model.
  static func refusal(_ view: TensorView) -> UserError {
    for kind in kinds where kind.signs.contains(where: { isThere($0, view) }) {
      return UserError(
        .badData, at: .file(view.url), "is \(kind.what)",
        remedy: kind.remedy ?? "name a checkpoint of Stable Diffusion 1, 2 or XL")
    }
    return UserError(
      .badData, at: .file(view.url),
      "holds tensors of no known kind of model, such as \(view.names.first.map(quoted) ?? "none")",
      remedy: "name a checkpoint of Stable Diffusion 1, 2 or XL")
  }

  private static func isThere(_ sign: String, _ view: TensorView) -> Bool {
    guard sign.contains("*") else { return view.contains(sign) }
    let middle = sign.replacing("*", with: "")
    return view.names.contains { sign.hasPrefix("*") ? $0.contains(middle) : $0.hasPrefix(middle) }
  }
}
