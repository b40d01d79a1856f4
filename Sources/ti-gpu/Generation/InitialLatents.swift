import Foundation
import ModelFiles
import Tensors

/// `--latents`: noise to start from, `[count, channels, height, width]` as diffusers has it.
struct InitialLatents {
  private let file: URL
  private let tensor: HostTensor

  init(_ file: URL) throws(UserError) {
    self.file = file
    tensor = try SafetensorsFile(file).tensor("latents")
    guard tensor.shape.rank == 4, tensor.shape.count > 0 else {
      throw UserError(
        .badData, at: [.file(file), .tensor("latents")], "is \(tensor.shape), not [count, channels, height, width]")
    }
  }

  /// What to say where so many pictures are to be made of them; nil where each has its own.
  func warning(pictures: Int) -> String? {
    let count = tensor.shape[0]
    return count >= pictures
      ? nil : "\(file.path) holds latents of \(count), \(pictures) are to be made: the last are used again and again"
  }

  /// The latents of picture `index`, `shape` being `[height, width, channels]`; the last are used again where there are fewer.
  func latents(_ index: Int, shape: Shape) throws(UserError) -> HostTensor {
    guard Array(tensor.shape.dimensions.dropFirst()) == [shape[2], shape[0], shape[1]] else {
      throw UserError(
        .badData, at: [.file(file), .tensor("latents")],
        "is \(tensor.shape); this picture takes [count, \(shape[2]), \(shape[0]), \(shape[1])]")
    }
    let picture = min(index, tensor.shape[0] - 1)
    let values = Array(tensor.values[picture * shape.count..<(picture + 1) * shape.count])
    return HostTensor([shape[2], shape[0], shape[1]], values).transposed([1, 2, 0])
  }
}
