/// How CLIP's text is cleaned and split into words before its bytes are merged.
///
/// Written to give what transformers' `CLIPTokenizer` gives: NFC, then lower case letter by letter, then the words of
/// `<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`.
enum TextCleaning {
  struct Word: Equatable {
    let text: String
    let followsSpace: Bool
  }

  /// Composed, with every run of white space as one space, in lower case.
  static func normalized(_ text: String) -> String {
    // Bytes, since a string that grows scalar by scalar is copied every time.
    var result: [UInt8] = []
    var space = false
    for scalar in CanonicalComposition.scalars(text) {
      if scalar.properties.isWhitespace {
        if !space { result.append(0x20) }
        space = true
      } else {
        // A letter at a time: a whole string would turn a last capital sigma into another letter.
        result.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
        space = false
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  private enum Class {
    case space, letter, number, other

    init(_ scalar: Unicode.Scalar) {
      if scalar.properties.isWhitespace {
        self = .space
        return
      }
      // Letters of Unicode 17 are none to the tokenizers library yet (0.23), whatever Swift's tables say.
      if !scalar.isASCII, let age = scalar.properties.age, age.major > 16 {
        self = .other
        return
      }
      switch scalar.properties.generalCategory {
      case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
      case .decimalNumber, .letterNumber, .otherNumber: self = .number
      default: self = .other
      }
    }
  }

  /// What the pattern takes whole wherever it begins a word; the special tokens are split further behind it.
  private static let contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map { Array($0.unicodeScalars) }
  private static let specials = [["<|", "startoftext", "|>"], ["<|", "endoftext", "|>"]]

  /// The words of a cleaned text: contractions, runs of letters, single digits, runs of anything else but white space.
  static func words(_ scalars: some Collection<Unicode.Scalar>) -> [Word] {
    let scalars = Array(scalars)
    var words: [Word] = []
    var position = 0
    var space = false
    func append(_ text: String) {
      words.append(Word(text: text, followsSpace: space))
      space = false
    }
    while position < scalars.count {
      let first = Class(scalars[position])
      if first == .space {
        space = true
        position += 1
        continue
      }
      if let parts = specials.first(where: { scalars.holds($0.joined().unicodeScalars, at: position) }) {
        parts.forEach(append)
        position += parts.joined().unicodeScalars.count
        continue
      }
      if let contraction = contractions.first(where: { scalars.holds($0, at: position) }) {
        append(String(contraction))
        position += contraction.count
        continue
      }
      var end = position + 1
      if first != .number {
        while end < scalars.count, Class(scalars[end]) == first { end += 1 }
      }
      append(String(scalars[position..<end]))
      position = end
    }
    return words
  }
}

extension Array<Unicode.Scalar> {
  /// Whether the scalars of `other` stand at `position`.
  func holds(_ other: some Collection<Unicode.Scalar>, at position: Int) -> Bool {
    self[position...].starts(with: other)
  }
}
