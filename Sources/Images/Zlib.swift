import CImageCodecs
import Foundation
import Tensors

/// Data in zlib's format, as PNG files compress theirs.
package enum Zlib {
  /// The bytes that a stream holds; what follows the stream is left alone.
  ///
  /// - Throws: `badData` for what is no such stream, ends early or holds more than `limit` bytes.
  package static func inflate(_ data: Data, limit: Int) throws(UserError) -> Data {
    try converted(data) { image_codecs_inflate($0, $1, limit, $2) }
  }

  /// A stream that holds the bytes, as small as zlib makes it.
  package static func deflate(_ data: Data) throws(UserError) -> Data {
    try converted(data) { image_codecs_deflate($0, $1, $2) }
  }

  private static func converted(
    _ data: Data, _ convert: (UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<image_codecs_bytes>) -> Int32
  ) throws(UserError) -> Data {
    var result = image_codecs_bytes()
    let done = data.withUnsafeBytes { convert($0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count, &result) }
    guard done == 1 else {
      let message = withUnsafeBytes(of: result.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      throw UserError(.badData, "its compressed data can't be read: \(message)")
    }
    defer { image_codecs_free_bytes(&result) }
    guard let bytes = result.bytes else { return Data() }
    return Data(bytes: bytes, count: result.length)
  }
}
