import ModelFiles
import StableDiffusion
import Tensors

/// The rows that words start from: in each encoder, those of a word or phrase that the model knows.
struct InitialRows {
  let parameters: Parameters
  /// The mean norm of each encoder's vocabulary: what a word's norm is measured by.
  let vocabularyNorm: [Component: Float]
  /// What a person may not expect, a line each.
  private(set) var warnings: [String] = []

  /// The rows of the tokens of each word's phrase, taken in turn until there are as many as the word has vectors.
  ///
  /// - Parameters:
  ///   - tokenizers: the model's own, one an encoder.
  ///   - optimizer: brings the rows to where it starts from.
  /// - Throws: `UserError(.usage)` if a phrase has no token.
  init(
    _ words: [Word], encoders: [(Component, CLIPTokenizer)], model: StableDiffusionModel, optimizer: any Optimizer
  ) throws(UserError) {
    var parameters: Parameters = [:]
    var vocabularyNorm: [Component: Float] = [:]
    for (encoder, tokenizer) in encoders {
      let table = try model.tokenTable(encoder)
      let width = table.shape.channels
      let norms = table.rowNorms
      let norm = norms.reduce(0, +) / Float(max(1, norms.count))
      vocabularyNorm[encoder] = norm
      for word in words {
        let vectors = word.placeholder.vectors
        let tokens = tokenizer.tokens(word.initializer)
        guard !tokens.isEmpty else {
          throw UserError(.usage, "the initializer '\(word.initializer)' has no token: name a word")
        }
        if tokens.count > vectors, encoder == encoders.first?.0 {
          warnings.append(
            "the initializer '\(word.initializer)' is \(tokens.count) tokens, of which only the first "
              + "\(vectors) are used: one a vector (--vectors)")
        }
        let rows = HostTensor(
          [vectors, width],
          (0..<vectors).flatMap { row in
            let token = Int(tokens[row % tokens.count])
            return table.values[token * width..<(token + 1) * width]
          })
        parameters[ParameterName(encoder, word.placeholder.word)] = optimizer.initialRows(rows, vocabularyNorm: norm)
      }
    }
    self.parameters = parameters
    self.vocabularyNorm = vocabularyNorm
  }
}
