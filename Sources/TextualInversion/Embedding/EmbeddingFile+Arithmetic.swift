import Foundation
import ModelFiles
import Tensors

/// Words as things: between two of them, longer or shorter, and held against each other. In double precision.
extension EmbeddingFile {
  /// The word on the way from this one to another, row by row: its direction by spherical interpolation (Shoemake, "Animating rotation
  /// with quaternion curves", SIGGRAPH 1985), its length between theirs.
  ///
  ///     cos angle = <a, b> / (|a| |b|)
  ///     row = ((1 - w)|a| + w|b|) (sin((1 - w) angle) a/|a| + sin(w angle) b/|b|) / sin angle
  ///
  /// - Parameter weight: w, the share of the other: 0 is this word, 1 the other one.
  /// - Throws: `UserError(.usage)` for a weight outside 0...1, for words of different numbers of rows, widths or encoders, and for rows
  ///   between which there is no one way.
  public func blended(with other: EmbeddingFile, weight: Double) throws(UserError) -> EmbeddingFile {
    guard (0...1).contains(weight) else {
      throw UserError(.usage, at: .option("weight"), "\(weight) is no share", remedy: "give one from 0 to 1")
    }
    try checkPairing(with: other)
    var blended: [Component: HostTensor] = [:]
    for (encoder, a) in rows {
      guard let b = other.rows[encoder] else { continue }
      var values: [Float] = []
      for row in 0..<a.shape.rows {
        guard let between = Self.between(a.row(row), b.row(row), weight) else {
          throw UserError(
            .usage,
            "row \(row + 1) of \(quoted(word)) and of \(quoted(other.word)) point in opposite ways or have no length",
            remedy: "blend them with a third word first")
        }
        values += between
      }
      blended[encoder] = HostTensor(a.shape, values)
    }
    return EmbeddingFile(word: word, rows: blended)
  }

  private static func between(_ a: [Double], _ b: [Double], _ weight: Double) -> [Float]? {
    guard let angle = a.angle(to: b), angle < .pi - 1e-6 else { return nil }
    let (lengthA, lengthB) = (a.length, b.length)
    let length = (1 - weight) * lengthA + weight * lengthB
    let sine = sin(angle)
    let (shareA, shareB) =
      angle < 1e-9 ? (1 - weight, weight) : (sin((1 - weight) * angle) / sine, sin(weight * angle) / sine)
    return zip(a, b).map { Float(length * (shareA * $0 / lengthA + shareB * $1 / lengthB)) }
  }

  private func checkPairing(with other: EmbeddingFile) throws(UserError) {
    func refuse(_ problem: String) -> UserError {
      UserError(
        .usage, "\(quoted(word)) and \(quoted(other.word)) \(problem)", remedy: "take words that were learned alike")
    }
    guard Set(rows.keys) == Set(other.rows.keys), !rows.isEmpty else {
      throw refuse("have rows for different text encoders")
    }
    for (encoder, a) in rows {
      guard let b = other.rows[encoder] else { continue }
      guard a.shape.channels == b.shape.channels else {
        throw refuse("are of different models: rows \(a.shape.channels) and \(b.shape.channels) wide")
      }
      guard a.shape == b.shape else { throw refuse("have \(a.shape.rows) and \(b.shape.rows) vectors") }
    }
  }

  /// The word with rows this many times as long.
  ///
  /// - Throws: `UserError(.usage)` for a factor that is no positive number or leaves no finite rows.
  public func scaled(by factor: Double) throws(UserError) -> EmbeddingFile {
    try scaled { _, _ in factor }
  }

  /// The word with all rows of an encoder brought to one length; those of encoders that none is named for stay.
  ///
  /// - Throws: `UserError(.usage)` for a length that is no positive number, `.badData` for a row that has none.
  public func scaled(toLength lengths: [Component: Double]) throws(UserError) -> EmbeddingFile {
    try scaled { encoder, length in lengths[encoder].map { $0 / length } ?? 1 }
  }

  private func scaled(_ factor: (Component, Double) -> Double) throws(UserError) -> EmbeddingFile {
    var scaled: [Component: HostTensor] = [:]
    for (encoder, tensor) in rows {
      var values: [Float] = []
      for index in 0..<tensor.shape.rows {
        let row = tensor.row(index)
        guard row.length > 0 else {
          throw UserError(.badData, "row \(index + 1) of \(quoted(word)) is all zeros", remedy: "train it again")
        }
        let factor = factor(encoder, row.length)
        let result = row.map { Float($0 * factor) }
        guard factor > 0, result.allSatisfy(\.isFinite) else {
          throw UserError(.usage, "rows can't be made \(factor) times as long", remedy: "give a positive number")
        }
        values += result
      }
      scaled[encoder] = HostTensor(tensor.shape, values)
    }
    return EmbeddingFile(word: word, rows: scaled)
  }
}

/// How two words' rows for one text encoder lie to each other.
public struct RowComparison: Sendable, Encodable {
  public let encoder: Component
  /// The lengths of the rows.
  public let lengths: [Double]
  public let otherLengths: [Double]
  /// Of the angles between each row of the one and each of the other.
  public let cosines: [[Double]]
  /// The same in degrees.
  public var angles: [[Double]] { cosines.map { $0.map { acos(min(1, max(-1, $0))) * 180 / .pi } } }

  private enum CodingKeys: CodingKey { case encoder, lengths, otherLengths, cosines, angles }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(self.encoder, forKey: .encoder)
    try container.encode(lengths, forKey: .lengths)
    try container.encode(otherLengths, forKey: .otherLengths)
    try container.encode(cosines, forKey: .cosines)
    try container.encode(angles, forKey: .angles)
  }
}

extension EmbeddingFile {
  /// The rows of the two words held against each other, for every encoder that both have rows of one width for.
  public func comparison(with other: EmbeddingFile) -> [RowComparison] {
    rows.sorted { $0.key.rawValue < $1.key.rawValue }.compactMap { encoder, a in
      guard let b = other.rows[encoder], a.shape.channels == b.shape.channels else { return nil }
      let (rowsA, rowsB) = ((0..<a.shape.rows).map(a.row), (0..<b.shape.rows).map(b.row))
      return RowComparison(
        encoder: encoder, lengths: rowsA.map(\.length), otherLengths: rowsB.map(\.length),
        cosines: rowsA.map { a in
          rowsB.map { b in
            let lengths = a.length * b.length
            return lengths > 0 ? zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } / lengths : 0
          }
        })
    }
  }
}
