import Foundation
import ModelFiles
import Tensors

/// What the text beside a picture says: a caption a line.
public struct CaptionText: Sendable, Hashable {
  public let file: URL
  /// Without the blank ones, and without space at the ends. Of several one is drawn each time.
  public let lines: [String]

  /// Reads a text in UTF-8, or in UTF-16 that begins with its mark.
  ///
  /// - Throws: `UserError(.badData)` for one that is neither or over 64 KiB.
  init(_ file: URL) throws(UserError) {
    let data = try Data(contentsOfInput: file, limit: 1 << 16)
    let isUTF16 = data.starts(with: [0xFF, 0xFE]) || data.starts(with: [0xFE, 0xFF])
    guard let text = String(data: data, encoding: isUTF16 ? .utf16 : .utf8), !text.unicodeScalars.contains("\0") else {
      throw UserError(.badData, at: .file(file), "is no text in UTF-8", remedy: "save it as such")
    }
    self.file = file
    lines = text.split(whereSeparator: \.isNewline)
      .map { $0.trimmingCharacters(in: .whitespaces.union(["\u{FEFF}"])) }.filter { !$0.isEmpty }
  }
}
