import Operators
import StableDiffusion
import Tensors

/// The sentences that words are taught in, as each text encoder's token numbers.
public struct TrainingPrompts: Sendable {
  /// By encoder, then by sentence: `length` numbers.
  private let ids: [[[Int32]]]
  private let length: Int

  /// How many sentences there are.
  public var count: Int { ids.first?.count ?? 0 }

  /// Encodes the settings' templates.
  ///
  /// - Parameters:
  ///   - tokenizers: one an encoder, which know the settings' words and no other.
  ///   - warn: told of sentences that are cut.
  /// - Throws: `UserError(.badData)` where a word, or one of its rows, would never be seen: nothing would be learned.
  public init(
    _ settings: TrainingSettings, tokenizers: [CLIPTokenizer], warn: (String) -> Void
  ) throws(UserError) {
    let length = tokenizers.map(\.promptLength).min() ?? 0
    self.length = length
    let word = settings.placeholder
    let templates = settings.templates ?? settings.kind.templates
    var all: [[[Int32]]] = []
    for tokenizer in tokenizers {
      let vocabulary = tokenizer.vocabularySize - settings.words.reduce(0) { $0 + $1.placeholder.vectors }
      var ids: [[Int32]] = []
      var seen: Set<Int32> = []
      for template in templates {
        let prompt = PromptTemplates.filled(template, with: word.word)
        let encoded = tokenizer.encode(prompt, length: length)
        let rows = encoded.ids.filter { $0 >= Int32(vocabulary) }
        guard !rows.isEmpty else {
          throw UserError(
            .badData,
            "in the template '\(template)' the word lies behind the last of \(length - 2) tokens and would not be learned",
            remedy: "shorten it")
        }
        seen.formUnion(rows)
        // What one tokenizer cuts, the others cut as well.
        if let cut = encoded.truncated, all.isEmpty {
          warn("a prompt is longer than \(length - 2) tokens; this is left out: '\(cut)'")
        }
        ids.append(encoded.ids)
      }
      var first = vocabulary
      for word in settings.words.map(\.placeholder) {
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
      all.append(ids)
    }
    ids = all
  }

  /// Sentences by their numbers, as each encoder reads them.
  func tokens(_ sentences: [Int]) -> [TokenBatch] {
    ids.map { ids in TokenBatch(ids: sentences.flatMap { ids[$0] }, batch: sentences.count, length: length) }
  }
}
