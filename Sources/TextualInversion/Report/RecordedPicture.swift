import Foundation
import Images
import ModelFiles

/// A picture of a run's folder, small enough for a page.
struct RecordedPicture {
  /// No side is longer.
  static let side = 256
  /// Written by this program: larger ones are not.
  private static let fileLimit = 64 << 20

  /// What is read for the texts, which stand before the pixels.
  private static let headBytes = 1 << 17

  private let url: URL
  private let head: Data

  /// nil for what is no PNG file.
  init?(_ url: URL) {
    guard let file = try? FileHandle(forReadingFrom: url), let head = try? file.read(upToCount: Self.headBytes),
      PNGText.isPNG(head)
    else { return nil }
    self.url = url
    self.head = head
  }

  /// The first line of what its `parameters` say.
  var prompt: String? { text("parameters").flatMap { $0.split(separator: "\n").first.map(String.init) } }
  /// The name of the file it was made of.
  var title: String? { text("Title") }

  private func text(_ keyword: String) -> String? {
    let text = try? PNGText.text(keyword, in: head, limit: 1 << 16)
    return text.map { String(data: $0, encoding: .utf8) ?? String(data: $0, encoding: .isoLatin1) ?? "" }
  }

  /// The picture as a `data:` address, and its size; nil where it is damaged.
  var address: (text: String, width: Int, height: Int)? {
    guard var data = try? Data(contentsOfInput: url, limit: Self.fileLimit),
      var picture = try? Picture(decoding: data)
    else { return nil }
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
