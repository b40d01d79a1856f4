import Foundation

/// JSON out of untrusted files, read straight into what it means: safetensors headers, and the cards of embeddings.
///
/// Foundation's decoder would not do: it lets a later key replace an earlier one, and builds what it does not know in
/// memory.
package struct JSONText {
  /// Why a text was refused; the file's name is added by the caller.
  package struct Malformed: Error {
    package let reason: String

    package init(reason: String) { self.reason = reason }
  }

  private let bytes: [UInt8]
  /// What the text is of, as a message begins.
  private let owner: String
  private var position = 0

  package init(_ bytes: [UInt8], of owner: String = "the header") {
    self.bytes = bytes
    self.owner = owner
  }

  /// Reads `{"key": value, ...}`; `member` reads each value.
  package mutating func object(
    _ member: (_ key: String, _ text: inout JSONText) throws(Malformed) -> Void
  ) throws(Malformed) {
    try expect("{")
    if take("}") { return }
    repeat {
      let key = try string()
      try expect(":")
      try member(key, &self)
    } while take(",")
    try expect("}")
  }

  /// Reads `[1, 2, ...]`, at most `limit` numbers that are not negative.
  mutating func integers(limit: Int) throws(Malformed) -> [Int] {
    try expect("[")
    var values: [Int] = []
    if take("]") { return values }
    repeat {
      guard values.count < limit else { throw malformed("a list of over \(limit) numbers") }
      values.append(try integer())
    } while take(",")
    try expect("]")
    return values
  }

  /// Reads `[value, ...]`; `element` reads each value.
  package mutating func array(_ element: (_ text: inout JSONText) throws(Malformed) -> Void) throws(Malformed) {
    try expect("[")
    if take("]") { return }
    repeat { try element(&self) } while take(",")
    try expect("]")
  }

  /// The first character of what comes next, nil at the end.
  package var next: Character? {
    mutating get {
      skipBlanks()
      return position < bytes.count ? Character(Unicode.Scalar(bytes[position])) : nil
    }
  }

  /// Reads a number as Python writes one, which may be `NaN` or infinite.
  package mutating func number() throws(Malformed) -> Double {
    skipBlanks()
    let start = position
    while position < bytes.count, !Self.endsNumber.contains(bytes[position]) { position += 1 }
    let word = bytes[start..<position]
    guard word.count <= 400, let first = word.first else { throw malformed("no number where one is needed") }
    if first == UInt8(ascii: "N") || first == UInt8(ascii: "I") || word.dropFirst().first == UInt8(ascii: "I") {
      switch String(decoding: word, as: UTF8.self) {
      case "NaN": return .nan
      case "Infinity": return .infinity
      case "-Infinity": return -.infinity
      default: break
      }
    } else if first == UInt8(ascii: "-") || (48..<58).contains(first),
      let number = Double(String(decoding: word, as: UTF8.self))
    {
      return number
    }
    throw malformed("no number where one is needed")
  }

  private static let endsNumber = Set(",]} \t\n\r:".utf8)

  /// Passes over a value, at most `depth` deep.
  package mutating func skip(depth: Int = 64) throws(Malformed) {
    guard depth > 0 else { throw malformed("too many brackets") }
    switch next {
    case "{":
      try object { (_, text: inout JSONText) throws(Malformed) in try text.skip(depth: depth - 1) }
    case "[": try array { (text: inout JSONText) throws(Malformed) in try text.skip(depth: depth - 1) }
    case "\"": _ = try string()
    case "t": try word("true")
    case "f": try word("false")
    case "n": try word("null")
    default: _ = try number()
    }
  }

  private mutating func word(_ word: String) throws(Malformed) {
    guard bytes[position...].starts(with: word.utf8) else { throw malformed("an unknown word") }
    position += word.utf8.count
  }

  /// A JSON string with the escapes that JSON demands and no others.
  package static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\u{8}": result += "\\b"
      case "\u{C}": result += "\\f"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 32:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// Nothing but blanks may follow.
  package mutating func end() throws(Malformed) {
    skipBlanks()
    guard position == bytes.count else { throw malformed("something after the end") }
  }

  /// Reads a string and resolves its escapes.
  package mutating func string() throws(Malformed) -> String {
    try expect("\"")
    var text: [UInt8] = []
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: text, as: UTF8.self) else { throw malformed("text that is not UTF-8") }
        return string
      case UInt8(ascii: "\\"): text.append(contentsOf: UTF8.encode(try escape()) ?? UTF8.encodedReplacementCharacter)
      case 0..<32: throw malformed("a control character in a string")
      default: text.append(byte)
      }
    }
    throw malformed("a string without an end")
  }

  /// What stands behind a backslash.
  private mutating func escape() throws(Malformed) -> Unicode.Scalar {
    guard position < bytes.count else { throw malformed("a string without an end") }
    let byte = bytes[position]
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\u{A}"
    case UInt8(ascii: "r"): return "\u{D}"
    case UInt8(ascii: "t"): return "\u{9}"
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if (0xD800..<0xDC00).contains(code), position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
        bytes[position + 1] == UInt8(ascii: "u")
      {
        position += 2
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw malformed("half a surrogate pair") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw malformed("half a surrogate pair") }
      return scalar
    default: throw malformed("an unknown escape")
    }
  }

  private mutating func hexadecimal() throws(Malformed) -> UInt32 {
    guard position + 4 <= bytes.count else { throw malformed("a string without an end") }
    var code: UInt32 = 0
    for byte in bytes[position..<position + 4] {
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      default: throw malformed("an unknown escape")
      }
      code = code << 4 | UInt32(digit)
    }
    position += 4
    return code
  }

  private mutating func integer() throws(Malformed) -> Int {
    skipBlanks()
    let start = position
    var value = 0
    while position < bytes.count, case let digit = bytes[position], (48..<58).contains(digit) {
      let (tens, first) = value.multipliedReportingOverflow(by: 10)
      let (sum, second) = tens.addingReportingOverflow(Int(digit) - 48)
      guard !first, !second else { throw malformed("a number beyond 64 bits") }
      value = sum
      position += 1
    }
    let count = position - start
    guard count > 0, count == 1 || bytes[start] != UInt8(ascii: "0") else {
      throw malformed("no whole number where one is needed")
    }
    return value
  }

  private mutating func skipBlanks() {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipBlanks()
    guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(Malformed) {
    guard take(character) else { throw malformed("no '\(character)' where one is needed") }
  }

  private func malformed(_ what: String) -> Malformed {
    Malformed(reason: "\(owner) has \(what), at byte \(position)")
  }
}
