import Foundation

/// What the program says to a person: on standard error, so that standard output is left for results.
enum Console {
  /// Whether lines can be drawn over.
  static let isTerminal = isatty(STDERR_FILENO) == 1

  /// A line of news.
  static func note(_ message: String) { write(message + "\n") }

  /// What went wrong, in one line.
  static func error(_ message: String) {
    write("ti-gpu: " + message.split(whereSeparator: \.isNewline).joined(separator: " ") + "\n")
  }

  /// A result for scripts, on standard output: snake_case keys, sorted.
  static func json(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
  }

  static func write(_ text: String) {
    FileHandle.standardError.write(Data(text.utf8))
  }
}
