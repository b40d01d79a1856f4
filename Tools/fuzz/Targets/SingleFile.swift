import Foundation
import ModelFiles
import StableDiffusion
import Tensors

extension FuzzTarget {
  /// A whole model in one file, as safetensors or by `torch.save`: what it is recognized as, and the sizes and weights of its parts.
  static let singleFile = FuzzTarget("single-file") { bytes in
    let model = try SingleFile(safetensorsFile(bytes))
    _ = model.recognition
    expecting { _ = try model.shape() }
    for component in [Component.textEncoder, .textEncoder2, .unet, .vae] {
      expecting {
        let tensors = try model.tensors(component)
        for name in tensors.names.prefix(64) { expecting { _ = try tensors.tensor(name) } }
      }
      expecting { try model.weights(component).finish() }
    }
  }
}
