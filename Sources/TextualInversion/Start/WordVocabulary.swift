import ModelFiles
import StableDiffusion
import Tensors

/// The whole words among a model's tokens, which mean the same token to each of its text encoders.
struct WordVocabulary: Sendable {
  struct Entry: Sendable {
    let text: String
    let token: Int
  }

  let words: [Entry]
  /// A row a word, `[words, width]`, of each encoder.
  let tables: [Component: HostTensor]
  /// The mean row of each encoder's.
  let means: [Component: [Float]]

  /// - Parameter tokenizers: the model's own, one an encoder.
  /// - Throws: `UserError(.badData)` where there is no word.
  init(_ model: StableDiffusionModel, tokenizers: [(component: Component, tokenizer: CLIPTokenizer)]) throws(UserError)
  {
    words = (tokenizers.first?.tokenizer.wholeWords ?? []).compactMap { text, token in
      guard tokenizers.dropFirst().allSatisfy({ $0.tokenizer.tokens(text) == [token] }) else { return nil }
      return Entry(text: text, token: Int(token))
    }
    guard !words.isEmpty else { throw UserError(.badData, "the model's vocabulary holds no whole word to find") }
    var tables: [Component: HostTensor] = [:]
    var means: [Component: [Float]] = [:]
    for (component, _) in tokenizers {
      let table = try model.tokenTable(component).rows(words.map(\.token))
      tables[component] = table
      means[component] = table.meanRow.values
    }
    self.tables = tables
    self.means = means
  }
}
