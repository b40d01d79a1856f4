import ArgumentParser
import Foundation
import Tensors
import TextualInversion

/// `--embedding`: a learned word's file, or `FILE=WORD` to call its word otherwise.
struct EmbeddingArgument: ExpressibleByArgument {
  private let text: String

  init?(argument: String) {
    if argument.isEmpty { return nil }
    text = argument
  }

  /// Reads the file's words. Its name may hold `=` itself: the longest one that is there is meant.
  func files() throws(UserError) -> [EmbeddingFile] {
    let whole = URL(fileURLWithPath: text)
    if FileManager.default.fileExists(atPath: whole.path) { return try EmbeddingFile.read(whole) }
    let splits = text.indices.filter { text[$0] == "=" }.reversed()
    let isThere = splits.first { FileManager.default.fileExists(atPath: String(text[..<$0])) }
    // Where none is there, what is missing is most likely what stands before the last.
    guard let split = isThere ?? splits.first, split > text.startIndex else { return try EmbeddingFile.read(whole) }
    let word = String(text[text.index(after: split)...])
    guard !word.isEmpty else {
      throw UserError(.usage, at: .option("embedding"), "\(text) names no word behind the =", remedy: "write FILE=WORD")
    }
    return try EmbeddingFile.read(URL(fileURLWithPath: String(text[..<split])), word: word)
  }
}
