import ModelFiles
import Tensors

/// Names one thing that is trained: the rows of a word in one text encoder.
public struct ParameterName: Sendable, Hashable, Comparable, CustomStringConvertible {
  public let encoder: Component
  public let word: String

  public init(_ encoder: Component, _ word: String) {
    self.encoder = encoder
    self.word = word
  }

  /// `rows.text_encoder.<toy>`: what checkpoints call it.
  public var description: String { "rows.\(encoder.rawValue).\(word)" }

  public static func < (a: Self, b: Self) -> Bool { a.description < b.description }
}

/// All that is trained, or the gradient of it: `[vectors, width]` for each name.
public typealias Parameters = [ParameterName: HostTensor]

/// Where the parameters stand in the model: each encoder is given one table, the rows of all words one behind the other.
public struct RowLayout: Sendable, Hashable {
  /// In the order of their numbers.
  public let words: [Placeholder]
  /// The encoders that read the words, in the model's order.
  public let encoders: [Component]
  /// Those whose rows learn; the rows of the others stay as they are.
  public let trained: Set<Component>

  public init(words: [Placeholder], encoders: [Component], trained: Set<Component>? = nil) {
    self.words = words
    self.encoders = encoders
    self.trained = trained ?? Set(encoders)
  }

  /// How many rows an encoder's table has.
  public var rowCount: Int { words.reduce(0) { $0 + $1.vectors } }

  /// The names of everything, first word and first encoder first.
  public var names: [ParameterName] {
    encoders.flatMap { encoder in words.map { ParameterName(encoder, $0.word) } }
  }

  /// An encoder's table, `[rowCount, width]`.
  ///
  /// - Throws: `UserError(.badData)` where a word's rows are missing or of another count or width.
  public func table(_ encoder: Component, of parameters: Parameters) throws(UserError) -> HostTensor {
    var values: [Float] = []
    var width: Int?
    for word in words {
      let name = ParameterName(encoder, word.word)
      guard let rows = parameters[name], rows.shape.rank == 2, rows.shape[0] == word.vectors,
        rows.shape[1] == width ?? rows.shape[1]
      else {
        let found = parameters[name].map { "are \($0.shape)" } ?? "are missing"
        throw UserError(.badData, at: .tensor("\(name)"), "the rows of a word of \(word.vectors) vectors \(found)")
      }
      width = rows.shape[1]
      values += rows.values
    }
    return HostTensor([rowCount, width ?? 0], values)
  }

  /// An encoder's table, taken apart.
  func parameters(_ encoder: Component, of table: HostTensor) -> Parameters {
    let width = table.shape.channels
    var parameters: Parameters = [:]
    var first = 0
    for word in words {
      let values = table.values[first * width..<(first + word.vectors) * width]
      parameters[ParameterName(encoder, word.word)] = HostTensor([word.vectors, width], Array(values))
      first += word.vectors
    }
    return parameters
  }
}

extension Parameters {
  /// A word's rows by encoder.
  func rows(of word: String) -> [Component: HostTensor] {
    var rows: [Component: HostTensor] = [:]
    for (name, tensor) in self where name.word == word { rows[name.encoder] = tensor }
    return rows
  }
}
