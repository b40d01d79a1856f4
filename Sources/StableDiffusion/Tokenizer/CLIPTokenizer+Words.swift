extension CLIPTokenizer {
  /// The whole words of the vocabulary that a person would write, each with its token: of two lower-case letters or more, and read
  /// as that one token. What only stands within words, and what is made of other bytes, is none.
  public var wholeWords: [(text: String, token: Int32)] {
    pieces.vocabulary.compactMap { piece, token -> (text: String, token: Int32)? in
      guard piece.hasSuffix(BytePairEncoding.endOfWord) else { return nil }
      let text = String(piece.dropLast(BytePairEncoding.endOfWord.count))
      // The letters that stand for other bytes are none of ASCII's.
      guard text.count > 1, text.allSatisfy({ $0.isASCII && $0.isLowercase }), tokens(text) == [token] else {
        return nil
      }
      return (text, token)
    }.sorted { $0.token < $1.token }
  }
}
