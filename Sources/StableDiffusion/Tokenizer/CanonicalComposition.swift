import Foundation

/// Unicode's normalization form C (Unicode Standard Annex 15) as the tokenizers library has it: by the tables of Unicode 9, to
/// which a younger scalar is nothing.
///
/// The standard library's own, up to Swift 6.3, composes what it should not (U+10435 with U+0308, U+1104 with U+1176) and does
/// not reorder what U+0F73 becomes; of single scalars it is right, and they are all that is asked of it.
enum CanonicalComposition {
  /// The scalars of a text, composed.
  static func scalars(_ text: String) -> [Unicode.Scalar] {
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return Array(text.unicodeScalars) }
    return composed(ordered(text.unicodeScalars.flatMap(decomposed)))
  }

  private typealias Mark = (scalar: Unicode.Scalar, order: UInt8)

  private static func decomposed(_ scalar: Unicode.Scalar) -> [Mark] {
    let parts = Hangul.decomposed(scalar) ?? tables.decompositions[scalar] ?? [scalar]
    return parts.map { ($0, $0.isASCII || isYoung($0) ? 0 : $0.properties.canonicalCombiningClass.rawValue) }
  }

  private static func isYoung(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.age.map { $0.major > 9 } ?? true }

  /// Marks in the order of their classes; those of one class stay as they stand.
  private static func ordered(_ marks: [Mark]) -> [Mark] {
    var result: [Mark] = []
    for run in marks.split(omittingEmptySubsequences: false, whereSeparator: { $0.order == 0 }) {
      let sorted = run.enumerated().sorted { ($0.element.order, $0.offset) < ($1.element.order, $1.offset) }
      result += sorted.map(\.element)
      if run.endIndex < marks.endIndex { result.append(marks[run.endIndex]) }
    }
    return result
  }

  /// Each starter takes in what follows it, unless a mark of its own class or a starter stands between.
  private static func composed(_ marks: [Mark]) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    var starter: Int?
    var before: UInt8 = 0
    for (scalar, order) in marks {
      if let starter, result.count - 1 == starter || before != 0 && before < order,
        let both = composed(result[starter], scalar)
      {
        result[starter] = both
        continue
      }
      if order == 0 { starter = result.count }
      before = order
      result.append(scalar)
    }
    return result
  }

  private static func composed(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    Hangul.composed(first, second) ?? tables.compositions[Pair(first: first, second: second)]
  }

  private struct Pair: Hashable {
    let first, second: Unicode.Scalar
  }

  /// What scalars become, and what pairs do.
  private static let tables:
    (decompositions: [Unicode.Scalar: [Unicode.Scalar]], compositions: [Pair: Unicode.Scalar]) = {
      // Where Unicode 9 has scalars that become others.
      let ranges: [Range<UInt32>] = [
        0xC0..<0x3100, 0xF900..<0xFB50, 0x11000..<0x11600, 0x1D100..<0x1D200, 0x2F800..<0x2FA20,
      ]
      var decompositions: [Unicode.Scalar: [Unicode.Scalar]] = [:]
      var composites: [[Unicode.Scalar]: Unicode.Scalar] = [:]
      for case let scalar? in ranges.joined().map(Unicode.Scalar.init) where !isYoung(scalar) {
        let text = String(scalar)
        let parts = Array(text.decomposedStringWithCanonicalMapping.unicodeScalars)
        guard parts != [scalar] else { continue }
        decompositions[scalar] = parts
        // Those that are excluded from composition do not stay when composed.
        if text.precomposedStringWithCanonicalMapping.unicodeScalars.elementsEqual([scalar]) {
          composites[parts] = scalar
        }
      }
      var compositions: [Pair: Unicode.Scalar] = [:]
      for (parts, composite) in composites {
        let rest = Array(parts.dropLast())
        if let last = parts.last, let first = rest.count == 1 ? rest[0] : composites[rest] {
          compositions[Pair(first: first, second: last)] = composite
        }
      }
      return (decompositions, compositions)
    }()
}

/// Syllables of Hangul, which are composed by arithmetic (The Unicode Standard, section 3.12).
private enum Hangul {
  private static let syllables: Range<UInt32> = 0xAC00..<0xD7A4
  private static let leading: Range<UInt32> = 0x1100..<0x1113
  private static let vowels: Range<UInt32> = 0x1161..<0x1176
  /// The first stands for none.
  private static let trailing: Range<UInt32> = 0x11A7..<0x11C3

  static func decomposed(_ scalar: Unicode.Scalar) -> [Unicode.Scalar]? {
    guard syllables.contains(scalar.value) else { return nil }
    let index = scalar.value - syllables.lowerBound
    let (block, tail) = index.quotientAndRemainder(dividingBy: UInt32(trailing.count))
    let (lead, vowel) = block.quotientAndRemainder(dividingBy: UInt32(vowels.count))
    let parts =
      [leading.lowerBound + lead, vowels.lowerBound + vowel] + (tail == 0 ? [] : [trailing.lowerBound + tail])
    return parts.compactMap(Unicode.Scalar.init)
  }

  static func composed(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    let (a, b) = (first.value, second.value)
    if leading.contains(a), vowels.contains(b) {
      let block = (a - leading.lowerBound) * UInt32(vowels.count) + b - vowels.lowerBound
      return Unicode.Scalar(syllables.lowerBound + block * UInt32(trailing.count))
    }
    if syllables.contains(a), (a - syllables.lowerBound).isMultiple(of: UInt32(trailing.count)),
      trailing.dropFirst().contains(b)
    {
      return Unicode.Scalar(a + b - trailing.lowerBound)
    }
    return nil
  }
}
