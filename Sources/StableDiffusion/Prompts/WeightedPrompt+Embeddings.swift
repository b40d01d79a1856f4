extension WeightedPrompt {
  /// The prompt with each `embedding:NAME`, ComfyUI's way of naming a learned word, as the word that is meant.
  ///
  /// It begins a text or stands behind white space or a comma, and the name ends before the next. A name that is not known
  /// is left out, as ComfyUI does, with a line.
  ///
  /// - Parameter words: the learned words by the names they go by, in lower case.
  public func naming(_ words: [String: String]) -> WeightedPrompt {
    var result = self
    result.parts = parts.map { part in
      guard case .text(let text, let weight) = part else { return part }
      return .text(result.named(text, words), weight: weight)
    }
    return result
  }

  private mutating func named(_ text: String, _ words: [String: String]) -> String {
    func ends(_ character: Character) -> Bool { character.isWhitespace || character == "," }
    var pieces = text.split(omittingEmptySubsequences: false, whereSeparator: ends).map { String($0) }
    let separators = text.filter(ends).map { String($0) } + [""]
    for index in pieces.indices where pieces[index].hasPrefix("embedding:") {
      var name = pieces[index].dropFirst("embedding:".count)
      // Punctuation may be part of a name, or of the sentence.
      var behind = ""
      while Self.word(name, words) == nil, let last = name.last, ".;:!?'\"".contains(last) {
        behind = "\(last)\(behind)"
        name.removeLast()
      }
      if let word = Self.word(name, words) {
        pieces[index] = word + behind
      } else {
        warnings.append("'\(pieces[index])' is left out: no embedding that was given goes by that name")
        pieces[index] = ""
      }
    }
    return zip(pieces, separators).map(+).joined()
  }

  /// The word of a name, which may be a file's with its ending.
  private static func word(_ name: Substring, _ words: [String: String]) -> String? {
    let name = name.lowercased()
    let ending = [".safetensors", ".pt", ".bin", ".png"].first(where: name.hasSuffix)
    return words[name] ?? ending.flatMap { words[String(name.dropLast($0.count))] }
  }
}
