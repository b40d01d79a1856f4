import Tensors

/// The word that is taught. It stands for all its rows; the tokenizer numbers them.
public struct Placeholder: Sendable, Hashable, Codable {
  /// What stands in prompts and names the embedding in its file.
  public let word: String
  /// How many rows the word has.
  public let vectors: Int

  /// As many as lie between the start and the end of CLIP's prompts; a model of shorter ones holds fewer.
  public static var mostVectors: Int { 75 }

  public init(_ word: String, vectors: Int) throws(UserError) {
    guard !word.isEmpty, !word.contains(where: \.isWhitespace) else {
      throw UserError(.usage, "the token must be one word without spaces, such as '<toy>', not \(quoted(word))")
    }
    guard (1...Self.mostVectors).contains(vectors) else {
      throw UserError(.usage, "\(vectors) vectors: a word has between 1 and \(Self.mostVectors)")
    }
    self.word = word
    self.vectors = vectors
  }

  /// From a file, whose words are checked as any.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    try self.init(
      container.decode(String.self, forKey: .word), vectors: container.decode(Int.self, forKey: .vectors))
  }

  /// What other programs will read otherwise than a person expects, a line each.
  public var warnings: [String] {
    guard vectors > 1, word != word.lowercased() else { return [] }
    return [
      "the word '\(word)' has capitals and \(vectors) vectors: diffusers (0.42) reads it as its first vector alone; "
        + "'\(word.lowercased())' is read whole"
    ]
  }
}
