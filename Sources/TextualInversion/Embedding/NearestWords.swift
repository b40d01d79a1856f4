import ModelFiles
import StableDiffusion
import Tensors

/// The vocabulary of one of a model's text encoders, to ask which of its words a learned row resembles.
public struct NearestWords: Sendable {
  public struct Match: Sendable, Hashable, Codable {
    /// The piece as the tokenizer's files write it: `toy</w>`.
    public let piece: String
    /// Of the angle between the rows.
    public let cosine: Float
  }

  private let pieces: [String]
  private let table: HostTensor
  private let norms: [Float]

  /// - Throws: what reading the model throws; `badData` where it has no such encoder.
  public init(_ model: StableDiffusionModel, _ component: Component) throws(UserError) {
    pieces = try model.tokenizer(component).names
    table = try model.tokenTable(component)
    norms = table.rowNorms
  }

  /// How wide rows must be to be compared.
  public var width: Int { table.shape.channels }

  /// For each row, the pieces whose rows point most nearly where it does.
  public func nearest(to rows: HostTensor, count: Int = 5) -> [[Match]] {
    zip(rows.rowNorms, 0..<rows.shape.rows).map { norm, index in
      guard norm > 0, rows.shape.channels == width else { return [] }
      let row = rows.values[index * width..<(index + 1) * width]
      let cosines = (0..<min(pieces.count, norms.count)).map { piece -> Float in
        guard norms[piece] > 0, !pieces[piece].isEmpty else { return -2 }
        var product: Float = 0
        for (a, b) in zip(row, table.values[piece * width..<(piece + 1) * width]) { product += a * b }
        return product / (norm * norms[piece])
      }
      return cosines.indices.sorted { (-cosines[$0], $0) < (-cosines[$1], $1) }.prefix(count)
        .filter { cosines[$0] > -2 }.map { Match(piece: pieces[$0], cosine: cosines[$0]) }
    }
  }
}
