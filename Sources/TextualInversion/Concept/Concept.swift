import Foundation
import Images
import Tensors

/// What is taught: the pictures of one word, brought to squares.
public struct Concept: Sendable {
  /// The pictures' files, in the order of their names.
  public let files: [URL]
  /// The squares, in the same order.
  public let pictures: [FittedPicture]
  /// What is written beside them, in the same order.
  public let captions: [CaptionText?]
  /// Files that were passed over, with the reason: "name: reason".
  public let skipped: [String]

  /// What a person may not expect of the pictures, a line each.
  public let warnings: [String]

  /// Reads every picture of a folder.
  ///
  /// - Throws: `UserError(.noInput)` for a missing folder or one without pictures, `.badData` if none can be read.
  package init(
    folder: URL, resolution: Int, fitting: PictureFitting, readsCaptions: Bool = true
  ) throws(UserError) {
    let read = try PictureFolder(folder) { picture in
      Square(
        fitted: FittedPicture(picture, side: resolution, fitting: fitting), hasTransparency: picture.hasTransparency)
    }
    files = read.pictures.map(\.url)
    pictures = read.pictures.map(\.value.fitted)
    var skipped = read.skipped
    var captions: [CaptionText?] = []
    for file in read.captions {
      var text: CaptionText?
      if let file {
        let name = file.lastPathComponent
        if readsCaptions {
          do throws(UserError) {
            text = try CaptionText(file)
            if text?.lines.isEmpty == true { skipped.append((name, "an empty caption")) }
          } catch { skipped.append((name, error.inside(.file(file)).message)) }
        } else {
          skipped.append((name, "captions are not read in this run"))
        }
      }
      captions.append(text.flatMap { $0.lines.isEmpty ? nil : $0 })
    }
    self.captions = captions
    self.skipped = skipped.map { "\($0.name): \($0.reason)" }
    let named = read.pictures.map { (name: $0.url.lastPathComponent, square: $0.value) }
    let small = named.filter { min($0.square.cut.originalWidth, $0.square.cut.originalHeight) * 2 <= resolution }
    let transparent = named.filter(\.square.hasTransparency)
    var warnings = Self.passedOver(skipped)
    if !small.isEmpty {
      warnings.append(
        "far smaller than the \(resolution) pixels that are learned, and blown up: "
          + Self.list(small.map { "\($0.name) (\($0.square.cut.originalWidth) x \($0.square.cut.originalHeight))" })
          + "; take larger pictures or a smaller --resolution")
    }
    if !transparent.isEmpty {
      warnings.append(
        "what lies under transparent parts is learned as well: \(Self.list(transparent.map(\.name))); "
          + "put the pictures on a background first")
    }
    self.warnings = warnings
  }

  /// A line for each reason, in the order of the names.
  private static func passedOver(_ skipped: [(name: String, reason: String)]) -> [String] {
    var reasons: [String] = []
    for file in skipped where !reasons.contains(file.reason) { reasons.append(file.reason) }
    return reasons.map { reason in
      "passed over \(list(skipped.filter { $0.reason == reason }.map(\.name))): \(reason)"
    }
  }

  /// A picture brought to a square, and what it was before.
  private struct Square {
    let fitted: FittedPicture
    let hasTransparency: Bool

    var cut: PictureCut { fitted.cut }
  }

  /// The first names, and how many more there are.
  private static func list(_ names: [String]) -> String {
    names.prefix(5).joined(separator: ", ") + (names.count > 5 ? " and \(names.count - 5) more" : "")
  }
}
