import Foundation
import Images
import ModelFiles
import Tensors
import TestSupport
import Testing

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

/// Runs `body` with a fresh folder and removes the folder behind it.
func withFolder(_ body: (URL) throws -> Void) throws {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ti-gpu-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  try body(folder)
}

/// The error that `body` throws, which must be a `UserError` of one line; nil when it throws none.
func userError(_ body: () throws -> Void) -> UserError? {
  do {
    try body()
    return nil
  } catch let error as UserError {
    #expect(!error.message.contains("\n") && error.message.count < 700, "\(error.message)")
    return error
  } catch {
    Issue.record("not a UserError: \(error)")
    return nil
  }
}
