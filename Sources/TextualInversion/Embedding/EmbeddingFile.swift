import Foundation
import ModelFiles
import Tensors

/// A learned word, and the file that it comes from: a few rows for each text encoder.
public struct EmbeddingFile: Sendable {
  /// What to write in prompts.
  public let word: String
  /// `[n, width]` for each text encoder that the word has rows for; n is the same for all of them.
  public let rows: [Component: HostTensor]
  /// The file that it was read from.
  public let url: URL?

  public init(word: String, rows: [Component: HostTensor]) {
    self.init(word: word, rows: rows, url: nil)
  }

  init(word: String, rows: [Component: HostTensor], url: URL?) {
    self.word = word
    self.rows = rows
    self.url = url
  }

  /// How many tokens of a prompt the word takes.
  public var vectors: Int { rows.values.lazy.map(\.shape.rows).max() ?? 0 }

  /// Throws `badData` unless a model can take the rows.
  ///
  /// - Parameters:
  ///   - width: the model's.
  ///   - places: how many tokens of a prompt the model reads.
  ///   - longest: the greatest norm of a row in the model's vocabulary.
  func check(width: Int, places: Int, longest: Float) throws(UserError) {
    guard let rows = rows[.textEncoder] else {
      throw UserError(
        .badData, "\(quoted(word)) was learned on another kind of model: it has no rows for this model's text encoder")
    }
    guard rows.shape.rank == 2, rows.shape.count > 0 else {
      throw UserError(.badData, "\(quoted(word)) is \(rows.shape), not [vectors, width]")
    }
    guard rows.shape.channels == width else {
      throw UserError(
        .badData,
        "\(quoted(word)) was learned on another kind of model: its rows are \(rows.shape.channels) wide, this model's "
          + "\(width)")
    }
    guard rows.shape[0] <= places else {
      throw UserError(
        .badData, "\(quoted(word)) has \(rows.shape[0]) vectors, but this model's prompts hold no more than \(places)")
    }
    guard rows.isFinite else {
      throw UserError(.badData, "\(quoted(word)) holds NaN or infinity", remedy: Self.retraining)
    }
    if let norm = rows.rowNorms.max(), norm > longest * Self.mostOfLongest {
      throw UserError(
        .badData,
        "\(quoted(word)) has a row of length \(norm), where the model's longest word has \(longest): that is no word",
        remedy: Self.retraining)
    }
  }

  /// How many times as long as the vocabulary's longest row a word's may be. Trained ones reach some tens.
  private static let mostOfLongest: Float = 1000
  static let retraining = "its training diverged: train again, with a lower rate"
}
