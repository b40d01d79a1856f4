import ArgumentParser
import Foundation
import ModelFiles
import Tensors

/// `--output` of pictures: a `.png` file, which takes the place of one that is there, or a folder, which is made where it is
/// missing and where nothing is overwritten.
struct PictureTarget {
  private let url: URL
  private let isFolder: Bool
  /// How many pictures and sheets the folder holds already, by the highest number in their names.
  private let pictures: Int
  private let sheets: Int

  /// Refuses a path that can't take so many pictures, before any work is done.
  static func check(_ path: String, count: Int) throws {
    let ending = URL(fileURLWithPath: path).pathExtension.lowercased()
    if ["jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "jxl"].contains(ending) {
      throw ValidationError("--output \(path): pictures are written as .png, not as .\(ending)")
    }
    guard count == 1 || ending != "png" else {
      throw ValidationError("--count \(count) makes several pictures: --output must be a folder, not a .png file")
    }
  }

  init(_ path: String) throws(UserError) {
    url = URL(fileURLWithPath: path)
    isFolder = url.pathExtension.lowercased() != "png"
    guard isFolder else {
      (pictures, sheets) = (0, 0)
      let folder = url.deletingLastPathComponent()
      var isDirectory: ObjCBool = false
      if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
        throw UserError(.cannotCreate, at: .file(url), "is a folder", remedy: "name a file, or a folder without .png")
      }
      guard FileManager.default.isWritableFile(atPath: folder.path) else {
        throw UserError(.cannotCreate, at: .file(folder), "no folder that can be written into", remedy: "make it first")
      }
      return
    }
    try AtomicFile.makeFolder(url)
    let names = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
    func highest(_ prefix: String) -> Int {
      names.filter { $0.hasPrefix(prefix) }.compactMap { Int($0.dropFirst(prefix.count).prefix { $0.isNumber }) }
        .filter { $0 < 1_000_000_000 }.max() ?? 0
    }
    pictures = highest("picture-")
    sheets = max(highest("sheet-"), names.contains("sheet.png") ? 1 : 0)
  }

  /// Where picture number `index` goes.
  func file(index: Int, seed: UInt64) -> URL {
    isFolder ? url.appendingPathComponent("picture-\(pictures + index + 1)-seed-\(seed).png") : url
  }

  /// Where several pictures are shown side by side: `sheet.png`, `sheet-2.png`, ...; nil for a single file.
  var sheet: URL? {
    isFolder ? url.appendingPathComponent(sheets == 0 ? "sheet.png" : "sheet-\(sheets + 1).png") : nil
  }
}
