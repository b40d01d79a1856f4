import ArgumentParser
import Foundation
import Images
import ModelFiles
import Tensors

/// `--output` of pictures: a `.png` file, which takes the place of one that is there, or a folder, which is made where it is
/// missing and where pictures are counted on and none is overwritten, by several processes at once neither.
struct PictureTarget {
  private let url: URL
  private let isFolder: Bool

  /// The endings of pictures that are not written.
  private static let otherEndings: Set<String> = [
    "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif", "jxl", "jp2", "apng",
    "svg",
    "tga", "ppm", "exr", "psd", "mp4",
  ]

  /// Refuses a path that can't take so many pictures, before any work is done.
  static func check(_ path: String, count: Int) throws(ValidationError) {
    let ending = URL(fileURLWithPath: path).pathExtension.lowercased()
    if otherEndings.contains(ending), !isFolder(path) {
      throw ValidationError("--output \(path): pictures are written as .png, not as .\(ending)")
    }
    guard count == 1 || ending != "png" else {
      throw ValidationError("--count \(count) makes several pictures: --output must be a folder, not a .png file")
    }
  }

  private static func isFolder(_ path: String) -> Bool {
    var isDirectory: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
  }

  init(_ path: String) throws(UserError) {
    url = URL(fileURLWithPath: path)
    isFolder = url.pathExtension.lowercased() != "png"
    guard !isFolder else {
      try AtomicFile.makeFolder(url)
      return
    }
    if Self.isFolder(path) {
      throw UserError(.cannotCreate, at: .file(url), "is a folder", remedy: "name a file, or a folder without .png")
    }
    let folder = url.deletingLastPathComponent()
    guard FileManager.default.isWritableFile(atPath: folder.path) else {
      throw UserError(.cannotCreate, at: .file(folder), "no folder that can be written into", remedy: "make it first")
    }
  }

  /// Writes a picture: the file that was named, or the folder's next `picture-N-seed-S.png`.
  func write(picture: Data, seed: UInt64) throws(UserError) -> URL {
    if isFolder { return try writeNext(picture, "picture-") { "picture-\($0)-seed-\(seed).png" } }
    try AtomicFile.write(picture, to: url)
    return url
  }

  /// Writes the pictures side by side, as the folder's `sheet.png`, `sheet-2.png`, ...; nil for a single file.
  func write(sheet: ContactSheet) throws(UserError) -> URL? {
    guard isFolder else { return nil }
    return try writeNext(sheet.picture.encodedPNG(), "sheet-") { $0 == 1 ? "sheet.png" : "sheet-\($0).png" }
  }

  /// Writes a file whose number is the next after those of the names that begin so.
  private func writeNext(_ data: Data, _ start: String, name: (Int) -> String) throws(UserError) -> URL {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
    var number =
      names.filter { $0.hasPrefix(start) }
      .compactMap { Int($0.dropFirst(start.count).prefix { $0.isASCII && $0.isNumber }) }
      .filter { $0 < 1_000_000_000 }.max() ?? 0
    while true {
      number += 1
      let file = url.appendingPathComponent(name(number))
      if try AtomicFile.writeNew(data, to: file) { return file }
    }
  }
}
