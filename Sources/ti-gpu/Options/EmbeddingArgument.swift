import ArgumentParser
import Foundation
import Tensors
import TextualInversion

/// A learned word's file, or a folder of such, or `FILE=WORD` to call the file's word otherwise.
struct EmbeddingArgument: ExpressibleByArgument {
  private let text: String

  init?(argument: String) {
    if argument.isEmpty { return nil }
    text = argument
  }

  /// The file, and what to call its word. A file's name may hold `=` itself: the longest one that is there is meant.
  func place() throws(UserError) -> (url: URL, word: String?) {
    let whole = URL(fileURLWithPath: text)
    if FileManager.default.fileExists(atPath: whole.path) { return (whole, nil) }
    let splits = text.indices.filter { text[$0] == "=" }.reversed()
    let isThere = splits.first { FileManager.default.fileExists(atPath: String(text[..<$0])) }
    // Where none is there, what is missing is most likely what stands before the last.
    guard let split = isThere ?? splits.first, split > text.startIndex else { return (whole, nil) }
    let word = String(text[text.index(after: split)...])
    guard !word.isEmpty else {
      throw UserError(.usage, "\(text) names no word behind the =", remedy: "write FILE=WORD")
    }
    return (URL(fileURLWithPath: String(text[..<split])), word)
  }

  /// The one word of the file.
  func onlyWord() throws(UserError) -> EmbeddingFile {
    let words = try Self.words([self])
    guard words.count == 1, let word = words.first else {
      throw UserError(
        .usage, "\(text) holds \(words.count) words", remedy: "take one out of it by convert --word")
    }
    return word
  }

  /// The words of all files that were named, those of a pair that was named by both its files once.
  static func words(_ arguments: [EmbeddingArgument]) throws(UserError) -> [EmbeddingFile] {
    var words: [EmbeddingFile] = []
    for argument in arguments {
      let place = try argument.place()
      for word in try EmbeddingFile.read(place.url, word: place.word, warn: Console.warn) {
        let isNamed = word.rows.count > 1 && words.contains { $0.url == word.url && $0.word == word.word }
        if !isNamed { words.append(word) }
      }
    }
    return words
  }
}
