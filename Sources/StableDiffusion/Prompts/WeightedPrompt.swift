/// A prompt as people write it for the web UIs: text with weights, and breaks.
///
/// `(text)` makes text 1.1 times as strong and `[text]` as much weaker, `(text:1.3)` 1.3 times as strong; one within the
/// other multiply. `\(`, `\)`, `\[`, `\]` and `\\` are the signs themselves. `BREAK` begins a new chunk of the prompt.
/// What is made of a prompt is what AUTOMATIC1111's web UI makes of it (its `parse_prompt_attention`, by whose rules
/// this was written), except that `BREAK` breaks within brackets, too, and that a weight that is no number is text.
public struct WeightedPrompt: Sendable, Hashable {
  public enum Part: Sendable, Hashable {
    case text(String, weight: Double)
    case chunkBreak
  }

  public internal(set) var parts: [Part] = []
  /// What is done otherwise than the writer may expect, a line each.
  public internal(set) var warnings: [String] = []

  private static let bracketWeight = 1.1
  private static let signs = "\\()[]:"

  /// Whether a word stands at a place, in letters of either case.
  private static func holds(_ scalars: [Unicode.Scalar], _ word: [Unicode.Scalar], at start: Int) -> Bool {
    let end = start + word.count
    guard end <= scalars.count else { return false }
    return zip(scalars[start..<end], word).allSatisfy {
      $0.properties.lowercaseMapping == $1.properties.lowercaseMapping
    }
  }

  /// - Parameter words: learned words, whose own brackets are no marks.
  public init(_ text: String, words: some Sequence<String> = []) {
    let scalars = Array(text.unicodeScalars)
    let words = words.filter { $0.contains { Self.signs.contains($0) } }.map { Array($0.unicodeScalars) }
    func word(at start: Int) -> [Unicode.Scalar]? { words.first { Self.holds(scalars, $0, at: start) } }
    var position = 0
    // Where in `parts` each open bracket began.
    var round: [Int] = []
    var square: [Int] = []
    while position < scalars.count {
      let start = position
      if let word = word(at: start) {
        position += word.count
        append(String(scalars[start..<position]))
        continue
      }
      position += 1
      switch scalars[start] {
      case "\\":
        guard position < scalars.count, "()[]\\".unicodeScalars.contains(scalars[position]) else {
          warnings.append("a '\\' that stands before no bracket is left out: '\(Self.excerpt(scalars, at: start))'")
          append("")
          continue
        }
        append(String(scalars[position]))
        position += 1
      case "(": round.append(parts.count)
      case "[": square.append(parts.count)
      case ":":
        guard let (number, end) = Self.weight(scalars, behind: start) else {
          append(":")
          continue
        }
        // Even where it closes no bracket, the whole is text and not a bracket's end.
        let written = String(scalars[start..<end])
        if round.isEmpty {
          warnings.append("'\(written)' closes no bracket and is text")
          append(written)
          position = end
        } else if let number {
          multiply(from: round.removeLast(), by: number)
          position = end
        } else {
          warnings.append("'\(written)' holds no number: the weight is text")
          append(String(scalars[start..<end - 1]))
          position = end - 1
        }
      case ")", "]":
        let isRound = scalars[start] == ")"
        if let opened = isRound ? round.popLast() : square.popLast() {
          multiply(from: opened, by: isRound ? Self.bracketWeight : 1 / Self.bracketWeight)
        } else {
          warnings.append(
            "a '\(scalars[start])' that closes no bracket is text: '\(Self.excerpt(scalars, before: position))'")
          append(String(scalars[start]))
        }
      default:
        while position < scalars.count, !Self.signs.unicodeScalars.contains(scalars[position]),
          word(at: position) == nil
        {
          position += 1
        }
        appendBroken(scalars[start..<position])
      }
    }
    for (brackets, sign, weight) in [(round, "(", Self.bracketWeight), (square, "[", 1 / Self.bracketWeight)] {
      for opened in brackets { multiply(from: opened, by: weight) }
      if !brackets.isEmpty {
        warnings.append(
          "\(brackets.count) '\(sign)' that \(brackets.count == 1 ? "is" : "are") not closed: what follows is weighted to "
            + "the prompt's end; a bracket that is meant as a sign is written '\\\(sign)'")
      }
    }
    if parts.isEmpty { append("") }
    merge()
    let unescaped = text.replacing(#/\\[()\[\]\\]/#, with: "")
    warnings += Self.otherSyntax.filter { unescaped.contains($0.pattern) }.map(\.warning)
  }

  /// Whether the prompt has neither weights nor breaks.
  public var isPlain: Bool {
    if case .text(_, weight: 1)? = parts.first { parts.count == 1 } else { false }
  }

  private mutating func append(_ text: String) { parts.append(.text(text, weight: 1)) }

  /// Text between `BREAK`s that stand as words of their own; white space beside them goes.
  private mutating func appendBroken(_ scalars: ArraySlice<Unicode.Scalar>) {
    let mark = Array("BREAK".unicodeScalars)
    var rest = scalars
    var position = rest.startIndex
    while position + mark.count <= scalars.endIndex {
      let end = position + mark.count
      guard scalars[position..<end].elementsEqual(mark),
        position == scalars.startIndex || !scalars[position - 1].isWord,
        end == scalars.endIndex || !scalars[end].isWord
      else {
        position += 1
        continue
      }
      var before = rest[..<position]
      while let last = before.last, last.isSpace { before.removeLast() }
      append(String(before))
      parts.append(.chunkBreak)
      rest = scalars[end...].drop(while: \.isSpace)
      position = rest.startIndex
    }
    append(String(rest))
  }

  private mutating func multiply(from start: Int, by factor: Double) {
    for index in start..<max(start, parts.count) {
      if case .text(let text, let weight) = parts[index] { parts[index] = .text(text, weight: weight * factor) }
    }
  }

  /// Neighbours of one weight become one text.
  private mutating func merge() {
    var merged: [Part] = []
    for part in parts {
      if case .text(let text, let weight) = part, case .text(let before, weight)? = merged.last {
        merged[merged.count - 1] = .text(before + text, weight: weight)
      } else {
        merged.append(part)
      }
    }
    parts = merged
  }

  /// The `: 1.3 )` that may follow a colon: its number, nil where it is none, and where it ends; nil where there is no such thing.
  private static func weight(_ scalars: [Unicode.Scalar], behind colon: Int) -> (number: Double?, end: Int)? {
    func skipSpace(_ position: inout Int) {
      while position < scalars.count, scalars[position].isSpace { position += 1 }
    }
    var position = colon + 1
    skipSpace(&position)
    let start = position
    if position < scalars.count, "+-".unicodeScalars.contains(scalars[position]) { position += 1 }
    let digits = position
    while position < scalars.count, scalars[position] == "." || scalars[position].properties.numericType == .decimal {
      position += 1
    }
    let number = Double(String(scalars[start..<position]))
    guard position > digits else { return nil }
    skipSpace(&position)
    guard position < scalars.count, scalars[position] == ")" else { return nil }
    return (number.flatMap { $0.isFinite ? $0 : nil }, position + 1)
  }

  /// A few letters from a place on, or up to it.
  private static func excerpt(_ scalars: [Unicode.Scalar], at start: Int) -> String {
    String(scalars[start..<min(start + 20, scalars.count)])
  }

  private static func excerpt(_ scalars: [Unicode.Scalar], before end: Int) -> String {
    String(scalars[max(0, end - 20)..<end])
  }

  /// What the web UIs know beyond weights, which is text here.
  private static var otherSyntax: [(pattern: Regex<Substring>, warning: String)] {
    [
      (#/<(?:lora|lyco|hypernet):[^<>]*>/#, "'<lora:...>' and its like are text: other files than words are not read"),
      (#/\[[^\[\]]*:\s*[.\d]+\s*\]/#, "'[one:other:0.5]' is weakened text: prompts do not change on the way"),
      (#/\[[^\[\]]*\|[^\[\]]*\]/#, "'[one|other]' is weakened text: prompts do not alternate"),
      (#/\bAND\b/#, "'AND' is a word: prompts are not composed"),
    ]
  }
}

extension Unicode.Scalar {
  fileprivate var isSpace: Bool { properties.isWhitespace || (0x1C...0x1F).contains(value) }

  /// Whether it belongs to a word, as Python's regular expressions see it.
  fileprivate var isWord: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    case .decimalNumber, .letterNumber, .otherNumber: true
    default: self == "_"
    }
  }
}
