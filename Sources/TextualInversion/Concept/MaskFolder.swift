import Foundation
import Images
import Tensors

/// A folder of masks: for each picture one of the same name, whatever the two files' names end in, white where the picture counts
/// and black where it does not.
struct MaskFolder {
  let url: URL
  /// By the names of the pictures that they belong to, without their ends; names that look alike are alike, however their accents
  /// are stored.
  private let files: [String: URL]

  /// - Throws: `UserError(.noInput)` where there is no such folder.
  init(_ url: URL) throws(UserError) {
    self.url = url
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: url.path) else {
      throw UserError(.noInput, at: .file(url), "no folder of masks that can be read", remedy: "check --masks")
    }
    var files: [String: URL] = [:]
    for name in names.sorted() where !name.hasPrefix(".") {
      let stem = (name as NSString).deletingPathExtension
      files[stem] = files[stem] ?? url.appendingPathComponent(name)
    }
    self.files = files
  }

  /// The file of a picture's mask, where it has one.
  func file(of picture: URL) -> URL? { files[picture.deletingPathExtension().lastPathComponent] }

  /// The names of the masks that belong to none of the pictures.
  func unused(_ pictures: [URL]) -> [String] {
    let used = Set(pictures.compactMap(file))
    return files.values.filter { !used.contains($0) }.map(\.lastPathComponent).sorted()
  }
}
