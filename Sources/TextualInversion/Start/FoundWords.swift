/// Words that were found for pictures.
public struct FoundWords: Sendable, Hashable, Codable {
  public struct Word: Sendable, Hashable, Codable {
    public var text: String
    /// How much the loss rises where the word is left out; nil while the search goes on.
    public var gain: Float?
  }

  /// One a place; without text where none has been found yet.
  public var words: [Word]
  /// With all words, and with none.
  public var loss: Float
  public var lossOfNone: Float

  /// The words one behind the other: a phrase to start from.
  public var text: String { words.map(\.text).filter { !$0.isEmpty }.joined(separator: " ") }
}
