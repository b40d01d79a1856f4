import Foundation
import Images

/// A picture of a run's folder, small enough for a page.
struct RecordedPicture {
  /// No side is longer.
  static let side = 256
  /// Written by this program: larger ones are not.
  private static let fileLimit = 64 << 20

  private let data: Data

  /// nil for what is no PNG file.
  init?(_ url: URL) {
    guard let size = try? url.resourceValues(forKeys: [.fileSizeKey]).fileSize, size <= Self.fileLimit,
      let data = try? Data(contentsOf: url), PNGText.isPNG(data)
    else { return nil }
    self.data = data
  }

  /// The first line of what its `parameters` say.
  var prompt: String? { text("parameters").flatMap { $0.split(separator: "\n").first.map(String.init) } }
  /// The name of the file it was made of.
  var title: String? { text("Title") }

  private func text(_ keyword: String) -> String? {
    let text = try? PNGText.text(keyword, in: data, limit: 1 << 16)
    return text.map { String(data: $0, encoding: .utf8) ?? String(data: $0, encoding: .isoLatin1) ?? "" }
  }

  /// The picture as a `data:` address, and its size; nil where it is damaged.
  var address: (text: String, width: Int, height: Int)? {
    guard var picture = try? Picture(decoding: data) else { return nil }
    var data = data
    if max(picture.width, picture.height) > Self.side {
      picture = picture.shrunk(to: Self.side)
      guard let encoded = try? picture.encodedPNG() else { return nil }
      data = encoded
    }
    return ("data:image/png;base64," + data.base64EncodedString(), picture.width, picture.height)
  }
}

extension Picture {
  /// The picture with no side longer than this.
  func shrunk(to side: Int) -> Picture {
    let longest = max(width, height)
    guard longest > side else { return self }
    return resized(width: max(1, width * side / longest), height: max(1, height * side / longest))
  }
}
