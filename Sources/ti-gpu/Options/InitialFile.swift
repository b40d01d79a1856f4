import Foundation
import Tensors
import TextualInversion

/// A learned word's file as `--initializer`.
struct InitialFile {
  let embedding: InitialEmbedding
  /// How many vectors the word has.
  let vectors: Int

  /// - Returns: nil for what is words: what has no ending of an embedding's file, and names none with a `/`.
  /// - Throws: what reading the file throws.
  init?(_ text: String) throws(UserError) {
    let url = URL(fileURLWithPath: text)
    let hasEnding = ["safetensors", "pt", "bin", "png"].contains(url.pathExtension.lowercased())
    guard hasEnding || text.contains("/") && FileManager.default.fileExists(atPath: url.path) else { return nil }
    embedding = try InitialEmbedding(url, warn: Console.warn)
    vectors = try embedding.word().vectors
  }
}
