import Foundation
import Tensors

/// What the names and shapes of a file's tensors tell, where they are no learned words.
public struct TensorSurvey: Sendable {
  /// Such as `a LoRA`.
  public let kind: String
  public let family: String?
  public let tensors: Int
  /// The numbers of all of them.
  public let parameters: Int
  public let types: [String]
  public let metadata: [String: String]

  /// - Returns: nil for a picture, and for tensors of no known kind.
  /// - Throws: as opening the file does.
  public init?(_ url: URL) throws(UserError) {
    guard let file = try EmbeddingTensors(url) else { return nil }
    let names = file.entries.map(\.name)
    guard let other = EmbeddingContents.others.first(where: { names.contains(where: $0.sign) }) else { return nil }
    kind = other.what
    family = Self.families.first { family in names.contains { $0.hasPrefix(family.sign) } }?.name
    tensors = names.count
    parameters = file.entries.reduce(0) { sum, entry in
      let (total, overflow) = sum.addingReportingOverflow(entry.shape.count)
      return overflow ? .max : total
    }
    types = Set(file.entries.map(\.type)).sorted()
    metadata = file.container == .safetensors ? file.texts : [:]
  }

  /// How a name begins that only this family's checkpoints have. The first that fits counts.
  private static let families: [(sign: String, name: String)] = [
    ("conditioner.embedders.", "Stable Diffusion XL"), ("cond_stage_model.model.", "Stable Diffusion 2.x"),
    ("cond_stage_model.transformer.", "Stable Diffusion 1.x"),
    ("state_dict.conditioner.embedders.", "Stable Diffusion XL"),
    ("state_dict.cond_stage_model.model.", "Stable Diffusion 2.x"),
    ("state_dict.cond_stage_model.transformer.", "Stable Diffusion 1.x"),
    ("model.diffusion_model.joint_blocks.", "Stable Diffusion 3"), ("double_blocks.", "Flux"),
    ("model.diffusion_model.double_blocks.", "Flux"),
  ]
}
