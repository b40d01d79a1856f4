import Foundation
import Tensors
import TextualInversion

/// A learned word's file as `--initializer`.
struct InitialFile {
  let embedding: InitialEmbedding
  /// How many vectors the word has.
  let vectors: Int

  /// Whether a file is meant and no words: what has the ending of an embedding's file, or names one with a `/`.
  static func isMeant(by text: String) -> Bool {
    let url = URL(fileURLWithPath: text)
    return ["safetensors", "pt", "bin", "png"].contains(url.pathExtension.lowercased())
      || text.contains("/") && FileManager.default.fileExists(atPath: url.path)
  }

  /// - Returns: nil for what is words.
  /// - Throws: what reading the file throws.
  init?(_ text: String) throws(UserError) {
    guard Self.isMeant(by: text) else { return nil }
    let url = URL(fileURLWithPath: text)
    embedding = try InitialEmbedding(url, warn: Console.warn)
    vectors = try embedding.word().vectors
  }
}
