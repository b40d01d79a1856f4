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

  /// Throws `badData` unless a model can take the rows: for one of its text encoders at least, and for none that it lacks. T5's are
  /// carried over by files and used by no model here.
  ///
  /// - Parameter vocabularies: those of the model's text encoders.
  func check(_ vocabularies: [EncoderVocabulary]) throws(UserError) {
    let known = vocabularies.map(\.encoder)
    for component in rows.keys where component != .textEncoder3 && !known.contains(component) {
      throw UserError(
        .badData,
        "\(quoted(word)) was learned on another kind of model: it has rows for a \(component.rawValue), which this model has "
          + "not")
    }
    guard rows.keys.contains(where: known.contains) else {
      throw UserError(
        .badData, "\(quoted(word)) was learned on another kind of model: it has no rows for this model's text encoder")
    }
    for vocabulary in vocabularies {
      if let rows = rows[vocabulary.encoder] { try check(rows, vocabulary) }
    }
  }

  private func check(_ rows: HostTensor, _ vocabulary: EncoderVocabulary) throws(UserError) {
    let (width, places, longest) = (vocabulary.width, vocabulary.places, vocabulary.longest)
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

/// What a word's rows are held against: the words that a text encoder knows.
struct EncoderVocabulary {
  let encoder: Component
  /// Of a row.
  let width: Int
  /// How many tokens of a prompt the encoder reads.
  let places: Int
  /// The greatest norm of a row.
  let longest: Float
}
