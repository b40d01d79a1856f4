import Foundation
import ModelFiles
import Tensors

/// The texts that a PNG file keeps beside its pixels.
package enum PNGText {
  private static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

  package static func isPNG(_ data: Data) -> Bool { data.starts(with: signature) }

  /// Width and height in pixels, which the first chunk tells.
  ///
  /// - Throws: `badData` for what is no PNG file.
  package static func size(of data: Data) throws(UserError) -> (width: Int, height: Int) {
    let head = data.dropFirst(signature.count).prefix(16)
    guard isPNG(data), head.count == 16, head.dropFirst(4).starts(with: Array("IHDR".utf8)) else {
      throw UserError(.badData, "no PNG file")
    }
    return (bigEndian(head.suffix(8).prefix(4)), bigEndian(head.suffix(4)))
  }

  /// The text under a keyword, out of the first chunk that has it: `tEXt`, `zTXt` or `iTXt`.
  ///
  /// - Parameter limit: the longest text, in bytes.
  /// - Returns: nil where there is none.
  /// - Throws: `badData` for what is no PNG file, or is a damaged one, up to the text.
  package static func text(_ keyword: String, in data: Data, limit: Int) throws(UserError) -> Data? {
    func damaged(_ reason: String) -> UserError {
      UserError(.badData, "its PNG data is damaged: \(reason)", remedy: "fetch or make the file again")
    }
    guard isPNG(data) else { throw UserError(.badData, "no PNG file") }
    var rest = data.dropFirst(signature.count)
    while rest.count >= 12 {
      let length = bigEndian(rest.prefix(4))
      let kind = String(decoding: rest.dropFirst(4).prefix(4), as: UTF8.self)
      guard length <= rest.count - 12 else { throw damaged("a chunk ends behind the file") }
      let checked = rest.dropFirst(4).prefix(4 + length)
      let content = checked.dropFirst(4)
      if kind == "IEND" { return nil }
      if ["tEXt", "zTXt", "iTXt"].contains(kind), content.starts(with: Array(keyword.utf8) + [0]) {
        let checksum = bigEndian(rest.dropFirst(8 + length).prefix(4))
        guard checked.withUnsafeBytes({ CRC32.iso.checksum($0) }) == UInt32(checksum) else {
          throw damaged("the checksum of its text is wrong")
        }
        let text = try Self.text(kind, content.dropFirst(keyword.utf8.count + 1), limit: limit)
        guard let text, text.count <= limit else { throw damaged("its text can't be read") }
        return text
      }
      rest = rest.dropFirst(12 + length)
    }
    throw damaged("it ends too early")
  }

  /// What follows the keyword's end: of `tEXt` the text; of `zTXt` the method and the compressed text; of `iTXt` flag, method,
  /// language, translated keyword and the text.
  private static func text(_ kind: String, _ content: Data, limit: Int) throws(UserError) -> Data? {
    switch kind {
    case "tEXt": return content
    case "zTXt": return content.first == 0 ? try Zlib.inflate(content.dropFirst(), limit: limit) : nil
    default:
      guard content.count >= 2, let flag = content.first else { return nil }
      let names = content.dropFirst(2).split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
      guard names.count == 3 else { return nil }
      return flag == 0 ? names[2] : try Zlib.inflate(names[2], limit: limit)
    }
  }

  private static func bigEndian(_ bytes: Data) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
}
