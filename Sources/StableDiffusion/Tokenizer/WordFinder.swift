/// Finds whole words in a text, wherever they stand: at each place the longest one that begins there.
struct WordFinder: Sendable {
  enum Part: Equatable {
    case text(ArraySlice<Unicode.Scalar>)
    /// A word that was found, and the numbers it stands for.
    case word(String, [Int32])
  }

  private var idsByWord: [ArraySlice<Unicode.Scalar>: [Int32]] = [:]
  /// The lengths of the words by their first letter, longest first, so that `<toy>_1` is not cut into `<toy>` and `_1`.
  private var lengthsByFirst: [Unicode.Scalar: [Int]] = [:]

  mutating func insert(_ word: String, ids: [Int32]) {
    let scalars = Array(word.unicodeScalars)
    guard let first = scalars.first else { return }
    idsByWord[scalars[...]] = ids
    let lengths = lengthsByFirst[first, default: []]
    let place = lengths.firstIndex { $0 <= scalars.count } ?? lengths.count
    if place == lengths.count || lengths[place] != scalars.count {
      lengthsByFirst[first, default: []].insert(scalars.count, at: place)
    }
  }

  var words: [(text: String, ids: [Int32])] { idsByWord.map { (String($0.key), $0.value) } }

  func contains(_ word: String) -> Bool { idsByWord[Array(word.unicodeScalars)[...]] != nil }

  /// The text in order, as words found and what lies between them.
  func split(_ scalars: [Unicode.Scalar]) -> [Part] {
    var parts: [Part] = []
    var start = 0
    var position = 0
    while position < scalars.count {
      let ends = lengthsByFirst[scalars[position], default: []].lazy.map { position + $0 }
      guard let end = ends.first(where: { $0 <= scalars.count && idsByWord[scalars[position..<$0]] != nil }),
        let ids = idsByWord[scalars[position..<end]]
      else {
        position += 1
        continue
      }
      if start < position { parts.append(.text(scalars[start..<position])) }
      parts.append(.word(String(scalars[position..<end]), ids))
      position = end
      start = position
    }
    if start < scalars.count { parts.append(.text(scalars[start...])) }
    return parts
  }
}
