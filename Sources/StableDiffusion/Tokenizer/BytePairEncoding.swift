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

  /// Always the first of the table's pairs is joined, the leftmost where it stands several times.
  private func merged(_ bytes: [UInt8]) -> [Int32] {
    guard let last = bytes.last else { return [] }
    var ids = bytes.dropLast().map { innerBytes[Int($0)] } + [lastBytes[Int(last)]]
    // The pieces that are left and right of each, as long as they are there; a piece that was joined has the number -1.
    let end = ids.count
    var right = Array(1...end)
    var left = Array(-1..<end - 1)
    var queue = MergeQueue()
    func offer(_ place: Int) {
      if place >= 0, right[place] < end, let merge = merges[Self.key(ids[place], ids[right[place]])] {
        queue.insert(rank: merge.rank, place: place)
      }
    }
    for place in ids.indices { offer(place) }
    while let (rank, place) = queue.removeFirst() {
      let joined = right[place]
      // What was offered may have been joined with another since.
      guard joined < end, let merge = merges[Self.key(ids[place], ids[joined])], merge.rank == rank else { continue }
      ids[place] = merge.id
      ids[joined] = -1
      right[place] = right[joined]
      if right[place] < end { left[right[place]] = place }
      offer(left[place])
      offer(place)
    }
    return ids.filter { $0 >= 0 }
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

/// Pairs of pieces that may be joined, the lowest rank first and then the leftmost: a heap.
private struct MergeQueue {
  private var entries: [UInt64] = []

  mutating func insert(rank: Int32, place: Int) {
    entries.append(UInt64(UInt32(bitPattern: rank)) << 32 | UInt64(UInt32(truncatingIfNeeded: place)))
    var child = entries.count - 1
    while child > 0, entries[child] < entries[(child - 1) / 2] {
      entries.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func removeFirst() -> (rank: Int32, place: Int)? {
    guard let first = entries.first else { return nil }
    entries.swapAt(0, entries.count - 1)
    entries.removeLast()
    var parent = 0
    while 2 * parent + 1 < entries.count {
      var child = 2 * parent + 1
      if child + 1 < entries.count, entries[child + 1] < entries[child] { child += 1 }
      guard entries[child] < entries[parent] else { break }
      entries.swapAt(child, parent)
      parent = child
    }
    return (Int32(truncatingIfNeeded: first >> 32), Int(first & 0xFFFF_FFFF))
  }
}
