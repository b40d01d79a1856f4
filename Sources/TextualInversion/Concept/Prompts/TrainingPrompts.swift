import Foundation
import Operators
import StableDiffusion
import Tensors

/// The sentences that words are taught in, as each text encoder's token numbers.
public struct TrainingPrompts: Sendable {
  public let sentences: TrainingSentences
  private let tokenizers: [CLIPTokenizer]
  private let length: Int

  /// Takes the sentences, once it is sure that the word is in all of them.
  ///
  /// - Parameters:
  ///   - pictures: the pictures' files' names, for errors.
  ///   - tokenizers: one an encoder, which know the settings' words and no other.
  ///   - warn: told of sentences that are cut.
  /// - Throws: `UserError(.badData)` where a word, or one of its rows, would never be seen: nothing would be learned.
  public init(
    _ settings: TrainingSettings, sentences: TrainingSentences? = nil, pictures: [String] = [],
    tokenizers: [CLIPTokenizer], warn: (String) -> Void
  ) throws(UserError) {
    let sentences = sentences ?? TrainingSentences(settings)
    self.sentences = sentences
    self.tokenizers = tokenizers
    length = tokenizers.map(\.promptLength).min() ?? 0
    let all = sentences.all()
    for (encoder, tokenizer) in tokenizers.enumerated() {
      let vocabulary = tokenizer.vocabularySize - settings.words.reduce(0) { $0 + $1.placeholder.vectors }
      var seen: Set<Int32> = []
      var cut: [(place: String, rest: String)] = []
      for (sentence, template, picture) in all {
        let encoded = tokenizer.encode(sentence, length: length)
        let rows = encoded.ids.filter { $0 >= Int32(vocabulary) }
        let name = picture.flatMap { pictures.indices.contains($0) ? pictures[$0] : nil }
        guard !rows.isEmpty else {
          throw Self.unseen(
            encoded.truncated == nil
              ? "the word is not named"
              : "the word lies behind the last of \(length - 2) tokens and would not be learned",
            sentence, template, picture: name, isCut: encoded.truncated != nil)
        }
        seen.formUnion(rows)
        let place = name.map { "what \($0) is taught in" } ?? "a prompt"
        if let rest = encoded.truncated, !cut.contains(where: { $0.place == place }) || name == nil {
          cut.append((place, rest))
        }
      }
      // What one tokenizer cuts, the others cut as well.
      if encoder == 0 {
        for (place, rest) in cut.prefix(5) {
          warn("\(place) is longer than \(length - 2) tokens; this is left out: '\(rest)'")
        }
        if cut.count > 5 { warn("\(cut.count - 5) more prompts are longer than \(length - 2) tokens, and cut") }
      }
      if let negative = settings.negativeWord {
        seen.formUnion(tokenizer.encode(negative.placeholder.word, length: length).ids)
      }
      try Self.checkRows(settings.words.map(\.placeholder), from: vocabulary, seen, length: length)
    }
  }

  private static func unseen(
    _ problem: String, _ sentence: String, _ template: String, picture: String?, isCut: Bool
  ) -> UserError {
    guard let picture else {
      return UserError(
        .badData, "in the template '\(template)' \(problem)", remedy: isCut ? "shorten it" : "name it by {}")
    }
    return UserError(
      .badData, "in what \(picture) is taught in, \(quoted(sentence)), \(problem)",
      remedy: isCut ? "shorten its caption" : "put {} into its caption, or into the template '\(template)'")
  }

  private static func checkRows(
    _ words: [Placeholder], from first: Int, _ seen: Set<Int32>, length: Int
  ) throws(UserError) {
    var first = first
    for word in words {
      if let unseen = (0..<word.vectors).first(where: { !seen.contains(Int32(first + $0)) }) {
        throw UserError(
          .badData,
          unseen == 0
            ? "the word '\(word.word)' stands in no template and would not be learned"
            : "vector \(unseen + 1) of the \(word.vectors) of '\(word.word)' lies behind the last of \(length - 2) "
              + "tokens in every template and would not be learned",
          remedy: unseen == 0 ? "name it in one" : "take fewer vectors or shorter templates")
      }
      first += word.vectors
    }
  }

  /// What micro-batch `turn` reads, as each encoder does: the sentences that belong to its pictures.
  func tokens(pictures: [Int], seed: UInt64, turn: Int) -> [TokenBatch] {
    tokens(
      pictures.enumerated().map {
        sentences.sentence(picture: $0.element, seed: seed, turn: turn, sample: $0.offset)
      })
  }

  /// Texts with the words in them, as each encoder reads them.
  func tokens(_ texts: [String]) -> [TokenBatch] {
    tokenizers.map { tokenizer in
      TokenBatch(
        ids: texts.flatMap { tokenizer.encode($0, length: length).ids }, batch: texts.count, length: length)
    }
  }
}
