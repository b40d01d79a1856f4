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
