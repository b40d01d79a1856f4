/// How files spell the names of one component's tensors, and what they hold besides: a model asks for the names that diffusers
/// and transformers give them today.
public struct ComponentNaming: Sendable {
  /// From the file's names to those.
  public var map: TensorMap
  /// What files carry and no model needs, by where it stands.
  public var ignored: [String]
  /// Parts of a larger model that were saved along: passed over with a line.
  public var surplus: [String]

  public init(_ map: TensorMap = .identity, ignored: [String] = [], surplus: [String] = []) {
    self.map = map
    self.ignored = ignored
    self.surplus = surplus
  }

  /// Taken as they are.
  public static let plain = ComponentNaming()

  /// CLIP's text encoder: with and without `text_model.` in front. `position_ids` is the numbers 0 to 76, a constant. Of a
  /// whole CLIP model the half that sees pictures, and what compares the halves, are left, as transformers leaves them.
  public static let textEncoder = ComponentNaming(
    TensorMap(["embeddings", "encoder", "final_layer_norm"].map { .init($0, "text_model." + $0) }),
    ignored: ["text_model.embeddings.position_ids"],
    surplus: ["text_projection", "logit_scale", "visual_projection", "vision_model"])

  /// The VAE: its attention was `query`, `key`, `value`, `proj_attn` before it was `to_q`, `to_k`, `to_v`, `to_out.0`, and
  /// convolutions of one pixel before that.
  public static let autoencoder = ComponentNaming(
    TensorMap([
      .init(
        "*.mid_block.attentions.0", "*.mid_block.attentions.0",
        inside: TensorMap(
          [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")].flatMap { old, new in
            [
              .init("\(old).weight", "\(new).weight", .matrix), .init(old, new),
              .init("\(new).weight", "\(new).weight", .matrix),
            ]
          }))
    ]))

  /// The names of a component in diffusers' layout.
  public static func diffusers(_ component: Component) -> ComponentNaming {
    switch component {
    case .textEncoder, .textEncoder2: textEncoder
    case .vae: autoencoder
    case .unet, .textEncoder3: plain
    }
  }
}
