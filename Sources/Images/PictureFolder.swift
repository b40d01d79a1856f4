import CImageCodecs
import Foundation
import ModelFiles
import Tensors

/// The pictures of a folder, in the order of their names, and behind them those of the folders in it that say how often each of
/// theirs is to come: `10_toy`, ten times, as kohya's trainers have them.
public struct PictureFolder<Element> {
  /// What was made of each picture; its path in the folder, and how often it is to come.
  public let pictures: [(url: URL, path: String, repeats: Int, value: Element)]
  /// What lies in the folder and was passed over, with the reason in a few words, in the order of the names.
  public let skipped: [(name: String, reason: String)]
  /// For each picture, the text beside it that says what it shows: `NAME.txt` or else `NAME.caption`, as other trainers have it.
  public let captions: [URL?]

  /// Reads every PNG, JPEG and WebP picture in a folder, whatever its name ends in, and keeps what `transform` makes of it.
  ///
  /// Throws with kind `noInput` when there is no such folder or no picture in it, and `badData` when there are some
  /// and none can be read.
  public init(_ folder: URL, _ transform: (URL, DecodedPicture) throws(UserError) -> Element) throws(UserError) {
    try self.init(folder, readsFolders: true, transform)
  }

  private init(
    _ folder: URL, readsFolders: Bool, _ transform: (URL, DecodedPicture) throws(UserError) -> Element
  ) throws(UserError) {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder) else {
      throw missing(folder, "no such folder", remedy: "name a folder of pictures")
    }
    guard isFolder.boolValue else {
      throw UserError(.noInput, at: .file(folder), "a file", remedy: "name the folder that the pictures are in")
    }
    guard let entries = folderEntries(folder) else {
      throw UserError(.noInput, at: .file(folder), "can't be read", remedy: "check its permissions")
    }
    var pictures: [(url: URL, path: String, repeats: Int, value: Element)] = []
    var inner: [(name: String, repeats: Int, content: PictureFolder)] = []
    var skipped: [(name: String, reason: String)] = []
    var unreadable: [String] = []
    var folders: [String] = []
    let captionNames = captionNames(entries.map { String(decoding: $0, as: UTF8.self) })
    var captions: [String: URL] = [:]
    for bytes in entries {
      let name = String(decoding: bytes, as: UTF8.self)
      // Such a name is no text: a path with it would lead elsewhere.
      guard name.utf8.elementsEqual(bytes) else {
        unreadable.append(name)
        skipped.append((name, "its name is not UTF-8; rename it"))
        continue
      }
      let url = folder.appendingPathComponent(name)
      if name.hasPrefix(".") {
        skipped.append((name, "hidden"))
        continue
      }
      if FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue {
        if readsFolders, let repeats = FolderRepeats(name) {
          if let problem = repeats.problem {
            skipped.append((name, problem))
            continue
          }
          do throws(UserError) {
            inner.append((name, repeats.count, try PictureFolder(url, readsFolders: false, transform)))
          } catch {
            guard error.kind == .noInput || error.kind == .badData else { throw error }
            unreadable.append(name)
            skipped.append((name, error.inside(.file(url)).message))
          }
          continue
        }
        let count = pictureCount(url)
        if count > 0 { folders.append("'\(name)' (\(count))") }
        skipped.append((name, count > 0 ? "a folder, with \(count) pictures that are not learned from" : "a folder"))
        continue
      }
      let picture: DecodedPicture
      do throws(UserError) {
        picture = try DecodedPicture(contentsOf: url)
      } catch {
        // What could not be read at all is judged by its name: looking into a pipe would never end.
        if captionNames.contains(name) {
          captions[name] = url
          continue
        }
        let isPicture = error.kind == .badData && beginsAsPicture(url)
        if isPicture || isPictureName(name) { unreadable.append(name) }
        skipped.append((name, error.inside(.file(url)).message))
        continue
      }
      pictures.append((url, name, 1, try transform(url, picture)))
    }
    guard !pictures.isEmpty || !inner.isEmpty else {
      if let first = unreadable.first {
        let reason = skipped.first { $0.name == first }?.reason ?? "damaged"
        throw UserError(
          .badData, at: .file(folder), "none of its pictures can be read (\(first): \(reason))",
          remedy: "save them as PNG or JPEG")
      }
      guard folders.isEmpty else {
        let some =
          folders.prefix(3).joined(separator: ", ") + (folders.count > 3 ? " and \(folders.count - 3) more" : "")
        throw UserError(
          .noInput, at: .file(folder), "no picture in it, but in its folders: \(some)",
          remedy: "name one of them, or bring them together")
      }
      throw UserError(
        .noInput, at: .file(folder), "no PNG, JPEG or WebP picture in it", remedy: "name a folder of pictures")
    }
    let taken = pictures.map { picture in
      let base = stem(picture.url.lastPathComponent)
      return captionEndings.map { "\(base).\($0)" }.first { captions[$0] != nil }
    }
    for name in Set(captions.keys).subtracting(taken.compactMap(\.self)) {
      let isSecond = taken.contains { $0.map(stem) == stem(name) }
      skipped.append(
        (name, isSecond ? "a second caption of one picture" : "the caption of a picture that is passed over"))
    }
    self.captions = taken.map { $0.flatMap { captions[$0] } } + inner.flatMap(\.content.captions)
    for (name, repeats, content) in inner {
      pictures += content.pictures.map { ($0.url, "\(name)/\($0.path)", repeats, $0.value) }
      skipped += content.skipped.map { ("\(name)/\($0.name)", $0.reason) }
    }
    self.pictures = pictures
    self.skipped = skipped.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }
}

extension PictureFolder where Element == Picture {
  /// Reads every picture as it is.
  public init(_ folder: URL) throws(UserError) {
    try self.init(folder) { (_, decoded) throws(UserError) in decoded.picture }
  }
}

extension PictureFolder: Sendable where Element: Sendable {}

/// How often the pictures of a folder are to come, as its name begins: `10_toy`.
package struct FolderRepeats: Sendable, Hashable {
  package static let most = 1000

  package let count: Int
  /// What else the name says.
  package let rest: String
  /// Why such a folder is passed over.
  package let problem: String?

  /// - Returns: nil where the name says nothing of it.
  package init?(_ name: String) {
    guard let end = name.firstIndex(of: "_"), end > name.startIndex,
      name[..<end].utf8.allSatisfy({ (48...57).contains($0) })
    else { return nil }
    let count = Int(name[..<end]) ?? .max
    problem =
      count == 0
      ? "its name says that its pictures come no times"
      : count > Self.most ? "its name says that its pictures come over \(Self.most) times" : nil
    self.count = count
    rest = String(name[end...].dropFirst())
  }
}

/// What the names of pictures end in, of formats that are not read as well.
private let pictureEndings: Set<String> = [
  "png", "jpg", "jpeg", "webp", "jfif", "heic", "heif", "avif", "gif", "bmp", "tif", "tiff",
]

private func isPictureName(_ name: String) -> Bool {
  !name.hasPrefix(".") && pictureEndings.contains((name as NSString).pathExtension.lowercased())
}

/// What the names of captions end in; the first goes before the second.
private let captionEndings = ["txt", "caption"]

private func stem(_ name: String) -> String { (name as NSString).deletingPathExtension }

/// The names of texts beside a picture of the same name.
private func captionNames(_ names: [String]) -> Set<String> {
  let pictures = Set(names.filter(isPictureName).map(stem))
  return Set(
    names.filter { captionEndings.contains(($0 as NSString).pathExtension) && pictures.contains(stem($0)) })
}

/// How many pictures lie directly in a folder, by their names.
private func pictureCount(_ folder: URL) -> Int {
  let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
  return names.count(where: isPictureName)
}

/// The names in a folder as the bytes they are, sorted; Foundation's own listing leaves out those that are not UTF-8.
private func folderEntries(_ folder: URL) -> [[UInt8]]? {
  guard let stream = opendir(folder.path) else { return nil }
  defer { closedir(stream) }
  var names: [[UInt8]] = []
  while let entry = readdir(stream) {
    let name = withUnsafeBytes(of: entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
    if name != Array(".".utf8), name != Array("..".utf8) { names.append(name) }
  }
  return names.sorted { $0.lexicographicallyPrecedes($1) }
}

/// Whether a file begins as a picture does.
private func beginsAsPicture(_ url: URL) -> Bool {
  guard let handle = try? FileHandle(forReadingFrom: url), let start = try? handle.read(upToCount: 12) else {
    return false
  }
  return start.withUnsafeBytes {
    image_codecs_detect($0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count) != IMAGE_CODECS_UNKNOWN
  }
}
