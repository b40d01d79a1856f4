import Tensors

/// The word that is taught: one token a vector, `<toy>` and, where there are more, `<toy>_1`, `<toy>_2`, ..., as diffusers names them.
public struct Placeholder: Sendable, Hashable, Codable {
  /// What stands in prompts and names the embedding in its file.
  public let word: String
  /// How many rows the word has.
  public let vectors: Int

  public init(_ word: String, vectors: Int) throws(UserError) {
    guard !word.isEmpty, !word.contains(where: \.isWhitespace) else {
      throw UserError(.usage, "the token must be one word without spaces, such as '<toy>', not '\(word)'")
    }
    guard (1...64).contains(vectors) else {
      throw UserError(.usage, "\(vectors) vectors: a word has between 1 and 64")
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

  /// The tokens to add to the tokenizer, one a row.
  public var tokens: [String] { [word] + (1..<max(vectors, 1)).map { "\(word)_\($0)" } }

  /// `prompt` with the word replaced by all its tokens. Tokens that are already written out stay as they are.
  public func expanded(in prompt: String) -> String {
    guard vectors > 1 else { return prompt }
    var result = ""
    var rest = prompt[...]
    while let range = rest.firstRange(of: word) {
      result += rest[..<range.lowerBound]
      rest = rest[range.upperBound...]
      let isNumbered = rest.first == "_" && rest.dropFirst().first?.isNumber == true
      result += isNumbered ? word : tokens.joined(separator: " ")
    }
    return result + rest
  }
}
