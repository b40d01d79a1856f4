import StableDiffusion
import Tensors

/// The rows that a word starts from: those of a word or phrase that the model knows.
struct InitialRows {
  /// `[vectors, width]`.
  let rows: HostTensor
  /// How many tokens the phrase has.
  let tokens: Int
  /// The mean norm of the vocabulary's rows: what a word's norm is measured by.
  let vocabularyNorm: Float

  /// The rows of the phrase's tokens, taken in turn until there are `vectors`.
  ///
  /// - Throws: `UserError(.usage)` if the phrase has no token.
  init(_ phrase: String, vectors: Int, tokenizer: CLIPTokenizer, model: StableDiffusionModel) throws(UserError) {
    let tokens = tokenizer.tokens(phrase)
    guard !tokens.isEmpty else { throw UserError(.usage, "the initializer '\(phrase)' has no token: name a word") }
    let table = try model.tokenTable()
    let width = table.shape.channels
    rows = HostTensor(
      [vectors, width],
      (0..<vectors).flatMap { row in
        let token = Int(tokens[row % tokens.count])
        return table.values[token * width..<(token + 1) * width]
      })
    self.tokens = tokens.count
    let norms = table.rowNorms
    vocabularyNorm = norms.reduce(0, +) / Float(max(1, norms.count))
  }
}
