import Foundation
import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

/// A tiny model with random weights, and what PyTorch, diffusers and transformers make of its parts in double precision
/// (Tools/reference/tiny_models.py and outputs.py).
struct ModelFixture: Sendable, CustomTestStringConvertible {
  let name: String

  static let all = ["tiny-sd1", "tiny-sd2", "tiny-odd", "tiny-deep", "tiny-sdxl", "tiny-sdxl-v"].map(ModelFixture.init)
  /// Those with two text encoders.
  static let xl = all.filter { $0.name.hasPrefix("tiny-sdxl") }

  var testDescription: String { name }

  private var url: URL { Fixtures.url("models/\(name)") }

  func folder() throws -> DiffusersFolder { try DiffusersFolder(url) }

  /// How far a result may be off on a backend: as far as a network may, or in 16 bits as far as PyTorch itself is in them, where
  /// that is more.
  func tolerance(_ name: String, _ type: ElementType) throws -> Double {
    let spread = try outputs().metadata["spread"].map {
      try JSONDecoder().decode([String: [String: Double]].self, from: Data($0.utf8))
    }
    return max(type.networkTolerance, spread?[name]?[type.rawValue] ?? 0)
  }

  func outputs() throws -> SafetensorsFile { try SafetensorsFile(url.appendingPathComponent("outputs.safetensors")) }

  func model() throws -> StableDiffusionModel { try StableDiffusionModel(folder()) }

  /// The gradients that training rows of all its text encoders takes.
  func gradients() throws -> Set<GradientName> {
    try model().shape.textEncoders.count > 1 ? [.context, .pooled] : [.context]
  }

  func textEncoder<B: Backend>(_ backend: B, differentiable: Bool = true) throws -> TextEncoder<B> {
    let folder = try folder()
    return try TextEncoder(
      backend, folder.configuration(.textEncoder, as: CLIPTextConfiguration.self),
      weights: folder.weights(.textEncoder), differentiable: differentiable)
  }

  func unet<B: Backend>(_ backend: B, gradients: Set<GradientName>? = nil) throws -> UNet<B> {
    let folder = try folder()
    return try UNet(
      backend, folder.configuration(.unet, as: UNetConfiguration.self), weights: folder.weights(.unet),
      gradients: gradients ?? self.gradients())
  }

  func autoencoder<B: Backend>(_ backend: B, parts: AutoencoderParts = .both) throws -> AutoencoderKL<B> {
    let folder = try folder()
    return try AutoencoderKL(
      backend, folder.configuration(.vae, as: AutoencoderConfiguration.self), weights: folder.weights(.vae),
      parts: parts)
  }
}

extension SafetensorsFile {
  /// A picture or latents, `[batch, channels, height, width]` in the file, with the channels last.
  func channelsLast(_ name: String) throws -> HostTensor { try tensor(name).transposed([0, 2, 3, 1]) }
}

/// `max |a - b| / max |b|`, infinite where a number isn't finite or the shapes differ.
func relativeError(_ a: HostTensor, _ b: HostTensor) -> Double {
  guard a.shape == b.shape, a.values.allSatisfy(\.isFinite) else { return .infinity }
  let difference = zip(a.values, b.values).map { abs(Double($0) - Double($1)) }.max() ?? 0
  return difference / (b.values.map { abs(Double($0)) }.max() ?? 1)
}

extension ElementType {
  /// What a whole network may be off by, relative to its largest output. PyTorch's own float32 is off by up to 3e-6
  /// here; 16-bit storage rounds some hundred times in a row.
  var networkTolerance: Double {
    switch self {
    case .float32: 1e-5
    case .float16: 1e-2
    case .bfloat16: 5e-2
    }
  }
}
