import ModelFiles
import StableDiffusion
import Tensors

/// The rows that words start from: in each encoder, those of a word or phrase that the model knows, or of a learned word.
struct InitialRows {
  let parameters: Parameters
  /// The mean norm of each encoder's vocabulary: what a word's norm is measured by.
  let vocabularyNorm: [Component: Float]
  /// The encoders' token tables, which loading the encoders need not read again.
  let tables: [Component: HostTensor]
  /// What a person may not expect, a line each.
  private(set) var warnings: [String] = []

  /// Rows taken in turn until there are as many as a word has vectors: of its phrase's tokens or of a learned word; of the vocabulary's
  /// mean where words are yet to be found.
  ///
  /// - Parameters:
  ///   - embedding: the learned word that the settings' first word starts from.
  ///   - tokenizers: the model's own, one an encoder.
  ///   - optimizer: brings the rows to where it starts from.
  /// - Throws: `UserError(.usage)` if a phrase has no token; `.badData` if the learned word is of another kind of model.
  init(
    _ words: [Word], embedding: EmbeddingFile? = nil, encoders: [(Component, CLIPTokenizer)],
    model: StableDiffusionModel, optimizer: any Optimizer
  ) throws(UserError) {
    var parameters: Parameters = [:]
    var vocabularyNorm: [Component: Float] = [:]
    var tables: [Component: HostTensor] = [:]
    for (encoder, tokenizer) in encoders {
      let table = try model.tokenTable(encoder)
      tables[encoder] = table
      let norms = table.rowNorms
      let norm = norms.reduce(0, +) / Float(max(1, norms.count))
      vocabularyNorm[encoder] = norm
      for word in words {
        let vectors = word.placeholder.vectors
        var source = table.meanRow
        var name = "none"
        if !word.initializer.isEmpty {
          let tokens = tokenizer.tokens(word.initializer)
          guard !tokens.isEmpty else {
            throw UserError(.usage, "the initializer '\(word.initializer)' has no token: name a word")
          }
          source = table.rows(tokens.map { Int($0) })
          name = "'\(word.initializer)' is \(tokens.count) tokens"
        } else if let embedding {
          source = try embedding.rows(of: encoder, width: table.shape.channels)
          name = "\(quoted(embedding.word)) has \(source.shape[0]) vectors"
        }
        let count = source.shape[0]
        if count > vectors, encoder == encoders.first?.0 {
          warnings.append(
            "the initializer \(name), of which only the first \(vectors) are used: one a vector (--vectors)")
        }
        parameters[ParameterName(encoder, word.placeholder.word)] = optimizer.initialRows(
          source.rows((0..<vectors).map { $0 % count }), vocabularyNorm: norm)
      }
    }
    self.parameters = parameters
    self.vocabularyNorm = vocabularyNorm
    self.tables = tables
  }
}

extension HostTensor {
  /// Rows of a table by their numbers, `[n, width]`.
  func rows(_ numbers: [Int]) -> HostTensor {
    let width = shape.channels
    return HostTensor([numbers.count, width], numbers.flatMap { values[$0 * width..<($0 + 1) * width] })
  }

  /// The mean of a table's rows, `[1, width]`.
  var meanRow: HostTensor {
    let width = shape.channels
    var sums = Array(repeating: 0.0, count: width)
    for (index, value) in values.enumerated() { sums[index % width] += Double(value) }
    return HostTensor([1, width], sums.map { Float($0 / Double(max(1, shape.rows))) })
  }
}

extension EmbeddingFile {
  /// The rows for an encoder.
  ///
  /// - Throws: `UserError(.badData)` where there are none, or none that can be started from.
  fileprivate func rows(of encoder: Component, width: Int) throws(UserError) -> HostTensor {
    let places: [UserError.Place] = url.map { [.file($0)] } ?? []
    guard let rows = rows[encoder], rows.shape.rank == 2, rows.shape[0] > 0, rows.shape.channels == width else {
      let found = rows[encoder].map { "are \($0.shape)" } ?? "are missing"
      throw UserError(
        .badData, at: places,
        "\(quoted(word)) was learned on another kind of model: its rows for the \(encoder.rawValue) \(found), this model's "
          + "are \(width) wide")
    }
    guard rows.isFinite, rows.rowNorms.allSatisfy({ $0 > 0 }) else {
      throw UserError(.badData, at: places, "\(quoted(word)) has a row that is all zeros, or no numbers")
    }
    return rows
  }
}
