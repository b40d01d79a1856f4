import Foundation
import Images

/// What a person may not expect of pictures: each kind of thing is one line, however many files it is about.
extension Concept {
  /// A line for each reason, in the order of the names.
  static func passedOver(_ skipped: [(name: String, reason: String)]) -> [String] {
    var reasons: [String] = []
    for file in skipped where !reasons.contains(file.reason) { reasons.append(file.reason) }
    return reasons.map { reason in
      "passed over \(list(skipped.filter { $0.reason == reason }.map(\.name))): \(reason)"
    }
  }

  static func warnings(_ pictures: [ReadPicture], alpha: AlphaUse) -> [String] {
    var lines: [String] = []
    let enlarged = pictures.filter { $0.enlargement > 1 }
    if !enlarged.isEmpty {
      // More than doubled, a picture is a blur.
      let isBlur = enlarged.contains { $0.enlargement >= 2 }
      lines.append(
        "smaller than the sizes that are learned, and enlarged: "
          + list(enlarged.map { "\($0.name) (\($0.original))" })
          + (isBlur ? "; take larger pictures or a smaller --resolution" : ""))
    }
    let transparent = pictures.filter(\.hasTransparency).map(\.name)
    if !transparent.isEmpty {
      switch alpha {
      case .mask: break
      case .over:
        lines.append(
          "transparent parts are learned as \(alpha.text): \(list(transparent)); --alpha takes another colour, or mask to leave "
            + "them out")
      case .ignored:
        lines.append("what lies under transparent parts is learned as well: \(list(transparent)); see --alpha")
      }
    }
    let traits: [(DecodedPicture.Trait, String)] = [
      (.turned, "turned upright as their EXIF data says"),
      (.cmyk, "in CMYK, made RGB without their profile, so that colours may differ"),
      (.deep, "of 16 bits a channel, of which the upper eight are learned"),
    ]
    for (trait, text) in traits {
      let names = pictures.filter { $0.traits.contains(trait) }.map(\.name)
      if !names.isEmpty { lines.append("\(text): \(list(names))") }
    }
    return lines
  }

  /// - Parameter all: the files of all pictures in the folder, also of those that masks leave nothing of.
  static func warnings(_ folder: MaskFolder, _ pictures: [ReadPicture], of all: [URL]) -> [String] {
    let found: [(String, [String])] = [
      (
        "learned whole, without a mask of their name in \(folder.url.path)",
        pictures.filter { $0.mask == nil }.map(\.name)
      ),
      ("masks of another shape than their pictures, stretched over them", pictures.filter { !$0.maskFits }.map(\.name)),
      ("masks of no picture", folder.unused(all)),
    ]
    return found.filter { !$0.1.isEmpty }.map { "\($0.0): \(list($0.1))" }
  }

  /// The first names, and how many more there are.
  static func list(_ names: [String]) -> String {
    names.prefix(5).joined(separator: ", ") + (names.count > 5 ? " and \(names.count - 5) more" : "")
  }
}
