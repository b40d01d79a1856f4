/// A piece of HTML. What is interpolated into one is escaped, unless it is HTML itself:
///
///     let cell: HTML = "<td>\(word)</td>"          // <td>&lt;toy&gt;</td>
///     let row: HTML = "<tr>\(cell)\(cells)</tr>"
struct HTML: Sendable, Equatable, ExpressibleByStringInterpolation {
  private(set) var text: String

  /// Text that is HTML already.
  init(raw text: String) { self.text = text }
  init(stringLiteral value: String) { text = value }
  init(stringInterpolation: StringInterpolation) { text = stringInterpolation.text }

  static func + (a: HTML, b: HTML) -> HTML { HTML(raw: a.text + b.text) }

  struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var text = ""

    init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity) }

    mutating func appendLiteral(_ literal: String) { text += literal }
    mutating func appendInterpolation(_ html: HTML) { text += html.text }
    mutating func appendInterpolation(_ parts: [HTML]) { for part in parts { text += part.text } }
    mutating func appendInterpolation(_ number: Int) { text += String(number) }
    mutating func appendInterpolation(_ string: String) { text += HTML.escaped(string) }
  }

  /// Safe between tags and in quoted attributes. What no HTML can hold becomes U+FFFD.
  private static func escaped(_ string: String) -> String {
    var result = ""
    result.reserveCapacity(string.utf8.count)
    for scalar in string.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\t", "\n": result.unicodeScalars.append(scalar)
      case "\0"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
