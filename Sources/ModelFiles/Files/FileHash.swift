import Crypto
import Foundation
import Tensors

public enum FileHash {
  /// The SHA-256 of a file's bytes in lower-case hexadecimal, read in pieces.
  public static func sha256(of url: URL) throws(UserError) -> String {
    let file = try InputFile(url)
    var hash = SHA256()
    let piece = 4 << 20
    var offset = 0
    while offset < file.size {
      let count = min(piece, file.size - offset)
      hash.update(data: try file.bytes(at: offset, count: count))
      offset += count
    }
    return hexadecimal(hash.finalize())
  }

  /// The same of a part of the file, or of what is there of it.
  public static func sha256(of url: URL, from start: Int, count: Int) throws(UserError) -> String {
    let file = try InputFile(url)
    let first = min(max(start, 0), file.size)
    return sha256(Data(try file.bytes(at: first, count: min(max(count, 0), file.size - first))))
  }

  /// The SHA-256 of bytes in lower-case hexadecimal.
  public static func sha256(_ data: Data) -> String { hexadecimal(SHA256.hash(data: data)) }

  private static func hexadecimal(_ digest: SHA256.Digest) -> String {
    let digits = Array("0123456789abcdef")
    return String(digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
  }
}
