import CImageCodecs
import Foundation
import Tensors

extension Picture {
  /// The picture as a PNG file's bytes, with text chunks such as the web UIs' `parameters`, in the order of their
  /// keywords.
  ///
  /// A text that Latin-1 can hold becomes `tEXt`, any other `iTXt`, as Pillow chooses. A keyword PNG does not allow
  /// is left out: 1 to 79 characters of Latin-1.
  public func encodedPNG(text: [String: String] = [:]) throws(UserError) -> Data {
    var strings: [(keyword: [CChar], text: [CChar], isUTF8: Bool)] = []
    for (keyword, text) in text.sorted(by: { $0.key < $1.key }) {
      guard let keyword = Self.latin1(keyword), (1...79).contains(keyword.count - 1) else { continue }
      // A zero byte would end the text early.
      let whole = text.replacingOccurrences(of: "\0", with: "")
      if let latin = Self.latin1(whole) {
        strings.append((keyword, latin, false))
      } else {
        strings.append((keyword, Array(whole.utf8CString), true))
      }
    }
    var result = image_codecs_bytes()
    var texts: [image_codecs_text] = []
    let done = Self.withPointers(strings.flatMap { [$0.keyword, $0.text] }) { pointers in
      for (index, string) in strings.enumerated() {
        texts.append(
          image_codecs_text(
            keyword: pointers[2 * index], text: pointers[2 * index + 1], is_utf8: string.isUTF8 ? 1 : 0))
      }
      return image_codecs_encode_png(pixels, Int32(width), Int32(height), texts, Int32(texts.count), &result)
    }
    guard done == 1 else {
      let message = withUnsafeBytes(of: result.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      throw UserError(.inputOutput, "the picture can't be encoded: \(message)", remedy: "make it smaller")
    }
    defer { image_codecs_free_bytes(&result) }
    return Data(bytes: result.bytes, count: result.length)
  }

  /// The bytes of a text in Latin-1 with a zero behind them, nil when Latin-1 can't hold it.
  private static func latin1(_ text: String) -> [CChar]? {
    var bytes: [CChar] = []
    for scalar in text.unicodeScalars {
      guard (1..<256).contains(scalar.value) else { return nil }
      bytes.append(CChar(bitPattern: UInt8(scalar.value)))
    }
    return bytes + [0]
  }

  /// Runs `body` with pointers to the arrays, which are valid until it returns.
  private static func withPointers<Result>(
    _ arrays: [[CChar]], _ body: ([UnsafePointer<CChar>]) -> Result
  ) -> Result {
    let copies = arrays.map { array in
      let copy = UnsafeMutableBufferPointer<CChar>.allocate(capacity: array.count)
      _ = copy.initialize(fromContentsOf: array)
      return copy
    }
    defer { copies.forEach { $0.deallocate() } }
    return body(copies.map { UnsafePointer($0.baseAddress!) })
  }
}
