import StableDiffusion
import Tensors

/// What decides a generated picture, beside the model and the learned words.
public struct GenerationSettings: Sendable, Hashable {
  public var prompt: String
  public var negativePrompt = ""
  /// Whether prompts are taken as they stand, one chunk each: without weights, breaks and `embedding:NAME`.
  public var plainPrompts = false
  public var sampler = SamplerKind.ddim
  public var steps = 30
  /// Classifier-free guidance (Ho and Salimans, 2022); 1 and less is none, as in diffusers.
  public var guidance: Float = 7.5
  public var seed: UInt64 = 0
  /// Pixels; multiples of 8.
  public var width: Int
  public var height: Int

  /// Whether the negative prompt has a part in the picture.
  public var isGuided: Bool { guidance > 1 }

  public init(prompt: String, width: Int, height: Int) {
    self.prompt = prompt
    self.width = width
    self.height = height
  }

  /// The settings as the web UIs write them into a PNG's `parameters` chunk.
  public func parameters(model: String) -> String {
    let settings = [
      "Steps: \(steps)", "Sampler: \(sampler.title)", "CFG scale: \(guidance)", "Seed: \(seed)",
      "Size: \(width)x\(height)", "Model: \(model)",
    ]
    let negative = negativePrompt.isEmpty ? "" : "Negative prompt: \(negativePrompt)\n"
    return "\(prompt)\n\(negative)\(settings.joined(separator: ", "))"
  }
}

extension SamplerKind {
  /// The name the web UIs know a sampler by.
  var title: String {
    switch self {
    case .ddim: "DDIM"
    case .euler: "Euler"
    case .dpmSolverPP2M: "DPM++ 2M"
    }
  }
}
