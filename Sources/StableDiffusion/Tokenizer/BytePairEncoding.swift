import Synchronization
import Tensors

/// Byte-pair encoding: a word's bytes, joined pair by pair in the order of a table of merges (Sennrich et al., 2016),
/// with CLIP's mark for the end of a word.
///
/// Words once encoded are remembered; any thread may encode.
final class BytePairEncoding: Sendable {
  /// Stands at the end of every word's last piece.
  static let endOfWord = "</w>"

  let vocabulary: [String: Int32]
  /// What a byte is: within a word, and as a word's last.
  private let innerBytes: [Int32]
  private let lastBytes: [Int32]
  /// By the numbers of two neighbours, what they become and when.
  private let merges: [UInt64: (rank: Int32, id: Int32)]

  /// By the words' bytes: texts that Swift holds for equal may be spelled in several ways.
  private let remembered = Mutex<[[UInt8]: [Int32]]>([:])
  private static let mostRemembered = 10_000

  /// - Parameters:
  ///   - vocabulary: piece to number, the pieces written in `byteLetters`.
  ///   - merges: pairs of pieces, the first to be joined first.
  ///   - unknown: the number of a byte that the vocabulary lacks.
  /// - Throws: `.badData` where a merge names a piece that the vocabulary lacks; it lies at `places`.
  init(
    vocabulary: [String: Int32], merges: [(String, String)], unknown: Int32, at places: [UserError.Place]
  ) throws(UserError) {
    self.vocabulary = vocabulary
    innerBytes = BytePairEncoding.byteLetters.map { vocabulary[String($0)] ?? unknown }
    lastBytes = BytePairEncoding.byteLetters.map { vocabulary[String($0) + BytePairEncoding.endOfWord] ?? unknown }
    var table: [UInt64: (rank: Int32, id: Int32)] = Dictionary(minimumCapacity: merges.count)
    for (rank, (left, right)) in merges.enumerated() {
      guard let leftId = vocabulary[left], let rightId = vocabulary[right], let id = vocabulary[left + right] else {
        throw UserError(
          .badData, at: places,
          "merge \(rank + 1), \(quoted("\(left) \(right)")), names a piece that the vocabulary lacks")
      }
      table[BytePairEncoding.key(leftId, rightId)] = (Int32(rank), id)
    }
    self.merges = table
  }

  func id(of piece: String) -> Int32? { vocabulary[piece] }

  /// The numbers of a word's pieces.
  func encode(_ word: String) -> [Int32] {
    let bytes = Array(word.utf8)
    if let known = remembered.withLock({ $0[bytes] }) { return known }
    let ids = merged(bytes)
    remembered.withLock { remembered in
      if remembered.count >= BytePairEncoding.mostRemembered { remembered.removeAll(keepingCapacity: true) }
      remembered[bytes] = ids
    }
    return ids
  }

  private func merged(_ bytes: [UInt8]) -> [Int32] {
    guard let last = bytes.last else { return [] }
    var ids = bytes.dropLast().map { innerBytes[Int($0)] } + [lastBytes[Int(last)]]
    // The rank of joining each piece with its right neighbour.
    var ranks = zip(ids, ids.dropFirst()).map { rank($0, $1) }
    while let lowest = ranks.indices.min(by: { ranks[$0] < ranks[$1] }), ranks[lowest] < .max {
      guard let merge = merges[BytePairEncoding.key(ids[lowest], ids[lowest + 1])] else { break }
      ids[lowest] = merge.id
      ids.remove(at: lowest + 1)
      ranks.remove(at: lowest)
      if lowest > 0 { ranks[lowest - 1] = rank(ids[lowest - 1], ids[lowest]) }
      if lowest < ranks.count { ranks[lowest] = rank(ids[lowest], ids[lowest + 1]) }
    }
    return ids
  }

  private func rank(_ left: Int32, _ right: Int32) -> Int32 {
    merges[BytePairEncoding.key(left, right)]?.rank ?? .max
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// The letter that stands for each byte in a vocabulary file, as GPT-2 chose them: printable bytes stand for
  /// themselves, the rest for the letters from U+0100 on.
  static let byteLetters: [Character] = {
    var letters = Array(repeating: Character(" "), count: 256)
    var next: UInt32 = 0x100
    for byte in 0..<256 {
      if printableBytes.contains(byte) {
        letters[byte] = Character(Unicode.Scalar(UInt8(byte)))
      } else if let scalar = Unicode.Scalar(next) {
        letters[byte] = Character(scalar)
        next += 1
      }
    }
    return letters
  }()

  private static let printableBytes = Set(Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF))

  /// The vocabulary that goes with CLIP's merges: 256 bytes, the same as last bytes, the merges joined, start and end.
  static func vocabulary(merges: [(String, String)]) -> [String: Int32] {
    let letters =
      (0..<256).filter(printableBytes.contains).map { byteLetters[$0] }
      + (0..<256).filter { !printableBytes.contains($0) }.map { byteLetters[$0] }
    let pieces =
      letters.map { String($0) } + letters.map { String($0) + endOfWord } + merges.map(+)
      + [CLIPTokenizer.startText, CLIPTokenizer.endText]
    return Dictionary(pieces.enumerated().map { ($1, Int32($0)) }, uniquingKeysWith: { first, _ in first })
  }
}
