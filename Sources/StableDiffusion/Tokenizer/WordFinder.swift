/// Finds whole words in a text, wherever they stand: at each place the longest one that begins there.
struct WordFinder: Sendable {
  enum Part: Equatable {
    case text(ArraySlice<Unicode.Scalar>)
    /// A word that was found, and the numbers it stands for.
    case word(String, [Int32])
  }

  private struct Word: Sendable {
    let scalars: [Unicode.Scalar]
    let ids: [Int32]
  }

  /// The words by their first letter, longest first, so that `<toy>_1` is not cut into `<toy>` and `_1`.
  private var wordsByFirst: [Unicode.Scalar: [Word]] = [:]

  mutating func insert(_ word: String, ids: [Int32]) {
    let scalars = Array(word.unicodeScalars)
    guard let first = scalars.first else { return }
    var words = wordsByFirst[first, default: []]
    words.removeAll { $0.scalars == scalars }
    let place = words.firstIndex { $0.scalars.count < scalars.count } ?? words.count
    words.insert(Word(scalars: scalars, ids: ids), at: place)
    wordsByFirst[first] = words
  }

  var words: [(text: String, ids: [Int32])] {
    wordsByFirst.values.joined().map { (String($0.scalars), $0.ids) }
  }

  func contains(_ word: String) -> Bool {
    guard let first = word.unicodeScalars.first else { return false }
    return wordsByFirst[first, default: []].contains { $0.scalars.elementsEqual(word.unicodeScalars) }
  }

  /// The text in order, as words found and what lies between them.
  func split(_ scalars: [Unicode.Scalar]) -> [Part] {
    var parts: [Part] = []
    var start = 0
    var position = 0
    while position < scalars.count {
      guard let word = wordsByFirst[scalars[position]]?.first(where: { scalars.holds($0.scalars, at: position) }) else {
        position += 1
        continue
      }
      if start < position { parts.append(.text(scalars[start..<position])) }
      parts.append(.word(String(word.scalars), word.ids))
      position += word.scalars.count
      start = position
    }
    if start < scalars.count { parts.append(.text(scalars[start...])) }
    return parts
  }
}
