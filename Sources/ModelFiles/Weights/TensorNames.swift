/// The names of one component's tensors: older and newer files differ in spelling, a model asks for one of them.
public struct TensorNames: Sendable {
  /// One spelling for all that mean the same tensor.
  public let canonical: @Sendable (String) -> String
  /// Constants that files carry and no model needs, by their canonical name.
  public let ignored: Set<String>
  /// Parts of a larger model that were saved along, by how their canonical name begins: passed over with a line.
  public let surplus: [String]

  public init(
    ignored: Set<String> = [], surplus: [String] = [], canonical: @escaping @Sendable (String) -> String = { $0 }
  ) {
    self.canonical = canonical
    self.ignored = ignored
    self.surplus = surplus
  }

  /// Taken as they are.
  public static let plain = TensorNames()

  /// CLIP's text encoder: with and without `text_model.` in front. `position_ids` is the numbers 0 to 76, a constant. Of a
  /// whole CLIP model the half that sees pictures, and what compares the halves, are left, as transformers leaves them.
  public static let textEncoder = TensorNames(
    ignored: ["embeddings.position_ids"],
    surplus: ["text_projection", "logit_scale", "visual_projection", "vision_model."]
  ) { name in
    name.hasPrefix("text_model.") ? String(name.dropFirst("text_model.".count)) : name
  }

  /// The VAE: its attention was `query`, `key`, `value`, `proj_attn` before it was `to_q`, `to_k`, `to_v`, `to_out.0`.
  public static let autoencoder = TensorNames { name in
    guard let dot = name.lastIndex(of: "."), name.contains(".attentions.") else { return name }
    for (old, new) in [
      (".query", ".to_q"), (".key", ".to_k"), (".value", ".to_v"), (".proj_attn", ".to_out.0"),
    ] where name[..<dot].hasSuffix(old) {
      return name[..<dot].dropLast(old.count) + new + name[dot...]
    }
    return name
  }

  /// The names of a component of a model folder, such as `text_encoder`.
  public static func of(component: String) -> TensorNames {
    switch component {
    case "text_encoder", "text_encoder_2": textEncoder
    case "vae": autoencoder
    default: plain
    }
  }
}
