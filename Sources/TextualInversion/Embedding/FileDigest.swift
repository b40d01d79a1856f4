import Foundation
import ModelFiles
import Tensors

/// The hashes that tools know a file by.
public struct FileDigest: Sendable, Codable {
  public let sha256: String
  /// What the web UIs write into pictures: the first twelve digits for embeddings, ten for checkpoints.
  public let shortHash: String
  /// What older versions of them wrote: of an embedding four digits made from its numbers, of a checkpoint eight from 64 KiB at
  /// its second mebibyte.
  public let legacyHash: String?

  /// Of a file of learned words.
  ///
  /// - Parameter rows: those that the older hash is made from; nil where the file has several tensors.
  init(embedding url: URL, rows: HostTensor?) throws(UserError) {
    sha256 = try FileHash.sha256(of: url)
    shortHash = String(sha256.prefix(12))
    legacyHash = rows.map { rows in
      let sum = rows.values.reduce(0 as UInt32) { sum, value in
        // Whole numbers of any size wrap; a float's remainder is exact.
        let whole = Int64(Double(value * 100).truncatingRemainder(dividingBy: 4_294_967_296))
        return (sum &* 281) ^ (UInt32(truncatingIfNeeded: whole) &* 997)
      }
      return hexadecimal(Int(sum & 0xFFFF), digits: 4)
    }
  }

  /// Of a checkpoint.
  public init(checkpoint url: URL) throws(UserError) {
    sha256 = try FileHash.sha256(of: url)
    shortHash = String(sha256.prefix(10))
    legacyHash = String(try FileHash.sha256(of: url, from: 0x10_0000, count: 0x1_0000).prefix(8))
  }
}

private func hexadecimal(_ number: Int, digits: Int) -> String {
  let text = String(number, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}

extension EmbeddingContents {
  /// The hashes of each file.
  public func digests() throws(UserError) -> [(file: URL, digest: FileDigest)] {
    var result: [(file: URL, digest: FileDigest)] = []
    for file in files {
      let rows = files.count == 1 && words.count == 1 && words[0].rows.count == 1 ? words[0].rows.values.first : nil
      // A product beyond a float's range is no whole number; the web UI fails on it.
      let isCountable = rows?.values.allSatisfy { ($0 * 100).isFinite } ?? false
      result.append((file, try FileDigest(embedding: file, rows: isCountable ? rows : nil)))
    }
    return result
  }
}
