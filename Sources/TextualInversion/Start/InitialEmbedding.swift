import Foundation
import ModelFiles
import Tensors

/// A learned word, out of another tool's file or an earlier run's, that a word goes on from.
public struct InitialEmbedding: Sendable, Hashable, Codable {
  /// The file, or the folder of a pair of such.
  public var file: String
  /// SHA-256 of its rows as float32, so that a run which is gone on with starts from the same.
  public var sha256: String

  /// - Throws: what reading the file throws; `UserError(.usage)` where it holds several words.
  public init(_ url: URL, warn: (String) -> Void = { _ in }) throws(UserError) {
    file = url.standardizedFileURL.path
    sha256 = Self.hash(try Self.word(url, warn: warn))
  }

  /// The file's word.
  ///
  /// - Throws: what reading the file throws; `UserError(.badData)` where its rows are no longer what they were.
  public func word() throws(UserError) -> EmbeddingFile {
    let url = URL(fileURLWithPath: file)
    let word = try Self.word(url)
    guard Self.hash(word) == sha256 else {
      throw UserError(
        .badData, at: .file(url), "holds another word than when the run was started", remedy: "start the run anew")
    }
    return word
  }

  private static func word(_ url: URL, warn: (String) -> Void = { _ in }) throws(UserError) -> EmbeddingFile {
    let words = try EmbeddingFile.read(url, warn: warn)
    guard words.count == 1, let word = words.first else {
      throw UserError(
        .usage, at: .file(url), "holds \(words.count) words, of which one can be started from",
        remedy: "name the file of one word")
    }
    return word
  }

  private static func hash(_ word: EmbeddingFile) -> String {
    var data = Data()
    for (_, rows) in word.rows.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      for value in rows.values { withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) } }
    }
    return FileHash.sha256(data)
  }
}
