import Foundation
import Images
import ModelFiles
import Tensors
import TestSupport
import Testing

/// Pictures of every kind and what Pillow makes of them: Tools/reference/make_pictures.py.
enum Pictures {
  static func url(_ name: String) -> URL { Fixtures.url("pictures/\(name)") }

  static func data(_ name: String) throws -> Data { try Data(contentsOf: url(name)) }

  /// Pillow's pixels of a file, or of `resized/WIDTHxHEIGHT`.
  static func expected(_ name: String) throws -> Picture {
    let tensor = try SafetensorsFile(url("expected.safetensors")).integers(name)
    return Picture(width: tensor.shape[1], height: tensor.shape[0], pixels: tensor.values.map { UInt8($0) })
  }

  static let names = [
    "rgb.png", "rgba.png", "grey.png", "grey-alpha.png", "palette.png", "palette-transparent.png", "bilevel.png",
    "grey-4.png", "grey-2.png", "interlaced.png", "rgb-16.png", "grey-16.png", "gamma-key.png", "rgb.jpg",
    "rgb-444.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "lossless.webp", "lossy.webp", "alpha.webp",
    "turned.png", "turned.webp", "source.png",
  ]
  static let turned = (1...8).map { "turned-\($0).jpg" }
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
