import StableDiffusion
import Tensors

/// The sentences that a word is taught in, as token numbers.
public struct TrainingPrompts: Sendable {
  /// The token numbers of each sentence, `length` of them.
  let ids: [[Int32]]
  let length: Int

  /// Encodes the settings' templates.
  ///
  /// - Parameters:
  ///   - tokenizer: one that knows the placeholder, whose rows have the numbers from `vocabulary` on.
  ///   - length: tokens a prompt.
  ///   - warn: told of sentences that are cut.
  /// - Throws: `UserError(.badData)` where the word, or one of its rows, would never be seen: nothing would be learned.
  public init(
    _ settings: TrainingSettings, tokenizer: CLIPTokenizer, vocabulary: Int, length: Int, warn: (String) -> Void
  ) throws(UserError) {
    self.length = length
    var ids: [[Int32]] = []
    var seen: Set<Int32> = []
    for template in settings.templates ?? settings.kind.templates {
      let prompt = PromptTemplates.filled(template, with: settings.placeholder.word)
      let encoded = tokenizer.encode(prompt, length: length)
      let rows = encoded.ids.filter { $0 >= Int32(vocabulary) }
      guard !rows.isEmpty else {
        throw UserError(
          .badData,
          "in the template '\(template)' the word lies behind the last of \(length - 2) tokens and would not be "
            + "learned: shorten it")
      }
      seen.formUnion(rows)
      if let cut = encoded.truncated {
        warn("a prompt is longer than \(length - 2) tokens; this is left out: '\(cut)'")
      }
      ids.append(encoded.ids)
    }
    let unseen = (0..<settings.placeholder.vectors).filter { !seen.contains(Int32(vocabulary + $0)) }
    if let first = unseen.first {
      throw UserError(
        .badData,
        "vector \(first + 1) of the word's \(settings.placeholder.vectors) lies behind the last of \(length - 2) tokens "
          + "in every template and would not be learned: take fewer vectors or shorter templates")
    }
    self.ids = ids
  }
}
