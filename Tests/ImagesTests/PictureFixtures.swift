import Foundation
import Images
import ModelFiles
import Tensors
import TestSupport

/// Pictures of every kind and what Pillow makes of them: Tools/reference/images.py.
enum Pictures {
  static func url(_ name: String) -> URL { Fixtures.url("images/\(name)") }

  static func data(_ name: String) throws -> Data { try Data(contentsOf: url(name)) }

  /// Pillow's pixels of a file, or of a resized picture.
  static func expected(_ name: String) throws -> Picture {
    let tensor = try SafetensorsFile(url("images.safetensors")).integers(name)
    return Picture(width: tensor.shape[1], height: tensor.shape[0], pixels: tensor.values.map { UInt8($0) })
  }

  static let names = [
    "rgb.png", "rgba.png", "grey.png", "grey-alpha.png", "bilevel.png", "palette.png", "palette-transparent.png",
    "colour-key.png", "rgb16.png", "grey16.png", "grey4.png", "interlaced.png", "gamma.png", "rgb.jpg", "grey.jpg",
    "cmyk.jpg", "progressive.jpg", "lossy.webp", "lossless.webp", "alpha.webp", "orientation-6.png",
    "orientation-6.webp",
  ]
  static let turned = (1...8).map { "orientation-\($0).jpg" }
}
