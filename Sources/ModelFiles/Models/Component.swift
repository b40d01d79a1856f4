/// A part of a model that has weights. Its raw value is the name of its folder in diffusers' layout.
public enum Component: String, Sendable, Hashable, Codable, CaseIterable {
  case textEncoder = "text_encoder"
  /// SDXL's second, the larger CLIP.
  case textEncoder2 = "text_encoder_2"
  /// The T5 of newer families: none of them is run, but files of learned words may hold rows for it.
  case textEncoder3 = "text_encoder_3"
  case unet
  case vae

  /// What a person calls it.
  public var title: String {
    switch self {
    case .textEncoder: "text encoder"
    case .textEncoder2: "second text encoder"
    case .textEncoder3: "third text encoder"
    case .unet: "UNet"
    case .vae: "VAE"
    }
  }
}
