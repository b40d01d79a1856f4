import Foundation
import ModelFiles
import Tensors

/// What files say of themselves in the keys that Stability's ModelSpec 1.0.1 defines and kohya's scripts write.
enum ModelSpec {
  /// The entries of a word. No date is among them: the same run leaves the same bytes.
  ///
  /// - Parameters:
  ///   - resolution: the side of the pictures that it was learned from.
  ///   - isVelocity: whether the model predicts v, nil where that is not known.
  static func metadata(of word: EmbeddingFile, resolution: Int? = nil, isVelocity: Bool? = nil) -> [String: String] {
    var result = [
      "modelspec.sai_model_spec": "1.0.1", "modelspec.implementation": "diffusers", "modelspec.title": word.fileStem,
      "modelspec.trigger_phrase": word.word,
    ]
    if let family = word.family { result["modelspec.architecture"] = family.architecture(isVelocity: isVelocity) }
    if let resolution { result["modelspec.resolution"] = "\(resolution)x\(resolution)" }
    if let isVelocity { result["modelspec.prediction_type"] = isVelocity ? "v" : "epsilon" }
    return result
  }

  /// The hash of tensors as they lie in a file: by their names, in 32-bit floats.
  static func hash(_ tensors: [(String, HostTensor)]) -> String {
    var data = Data()
    for (_, tensor) in tensors.sorted(by: { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }) {
      tensor.values.withUnsafeBytes { data.append(contentsOf: $0) }
    }
    return "0x" + FileHash.sha256(data)
  }
}

/// The kind of model that a word's rows fit, as far as their widths tell.
public enum EmbeddingFamily: String, Sendable, Codable {
  case stableDiffusion1 = "Stable Diffusion 1.x"
  case stableDiffusion2 = "Stable Diffusion 2.x"
  case stableDiffusionXL = "Stable Diffusion XL"
  case stableDiffusion3 = "Stable Diffusion 3 or Flux"

  /// ModelSpec's name of the architecture.
  func architecture(isVelocity: Bool?) -> String {
    let base =
      switch self {
      case .stableDiffusion1: "stable-diffusion-v1"
      case .stableDiffusion2: isVelocity == false ? "stable-diffusion-v2-512" : "stable-diffusion-v2-768-v"
      case .stableDiffusionXL: "stable-diffusion-xl-v1-base"
      case .stableDiffusion3: "stable-diffusion-v3"
      }
    return base + "/textual-inversion"
  }
}

extension EmbeddingFile {
  /// The family of models that the rows fit; nil for widths of none that is known.
  public var family: EmbeddingFamily? {
    let widths = rows.mapValues(\.shape.channels)
    if widths[.textEncoder3] != nil { return widths[.textEncoder3] == 4096 ? .stableDiffusion3 : nil }
    if widths[.textEncoder2] != nil {
      return widths[.textEncoder2] == 1280 && [768, nil].contains(widths[.textEncoder]) ? .stableDiffusionXL : nil
    }
    return widths[.textEncoder] == 768 ? .stableDiffusion1 : widths[.textEncoder] == 1024 ? .stableDiffusion2 : nil
  }

  /// The word as a file can be named: without brackets, and without what file systems or shells take for something else.
  public var fileStem: String {
    var name = word
    if name.hasPrefix("<") { name.removeFirst() }
    if name.hasSuffix(">") { name.removeLast() }
    name = String(
      name.map { $0.isLetter || $0.isNumber || "-_.+ ()".contains($0) ? $0 : "_" }.drop { $0 == "." })
    while name.utf8.count > 200 { name.removeLast() }
    // Names that a run's folder has for something else, and none at all.
    return name.isEmpty || name.hasPrefix("learned_embeds") ? "word-" + name : name
  }
}
