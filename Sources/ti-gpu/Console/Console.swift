import ArgumentParser
import Foundation
import Synchronization
import Tensors

/// What the program says to a person: on standard error, so that standard output is left for results.
enum Console {
  /// Whether lines can be drawn over.
  static let isTerminal = isatty(STDERR_FILENO) == 1

  /// A line of news.
  static func note(_ message: String) { write(message + "\n") }

  /// The warnings so far.
  private static let warnings = Mutex<[String]>([])
  /// Whether a result was printed: a script reads one document.
  private static let hasResult = Atomic(false)

  /// What is done otherwise than a person may expect, in one line; it stands in the JSON result as well.
  static func warn(_ message: String) {
    let line = oneLine(message)
    warnings.withLock { $0.append(line) }
    note("ti-gpu: warning: " + line)
  }

  /// What went wrong, in one line.
  static func error(_ message: String) { note("ti-gpu: " + oneLine(message)) }

  private static func oneLine(_ message: String) -> String {
    message.split(whereSeparator: \.isNewline).joined(separator: " ")
  }

  /// A result for scripts, on standard output: snake_case keys, sorted; `warnings` holds the lines of `warn`.
  ///
  /// - Parameter value: what encodes as an object.
  static func json(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    let document = Document(value: value, warnings: warnings.withLock { $0 })
    let text = String(decoding: try encoder.encode(document), as: UTF8.self)
    try result(text)
  }

  /// What ended the program, as JSON; nothing where a result was printed before.
  static func jsonError(_ failure: Failure) {
    struct Report: Encodable { let error: Failure }
    if !hasResult.load(ordering: .relaxed) { try? json(Report(error: failure)) }
  }

  /// A result with the warnings beside its own fields.
  private struct Document<Value: Encodable>: Encodable {
    let value: Value
    let warnings: [String]

    enum CodingKeys: CodingKey { case warnings }

    func encode(to encoder: any Encoder) throws {
      try value.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(warnings, forKey: .warnings)
    }
  }

  /// A line of the result, on standard output.
  ///
  /// - Throws: `UserError(.inputOutput)` where it can't be written, `ExitCode` where its reader is gone.
  static func result(_ line: String) throws {
    hasResult.store(true, ordering: .relaxed)
    let failure = put(line + "\n", STDOUT_FILENO)
    if failure == EPIPE { throw ExitCode(Interrupt.exitCode) }
    if failure != 0 {
      throw UserError(
        .inputOutput, "the result can't be written to standard output: \(String(cString: strerror(failure)))")
    }
  }

  /// A text on standard error, as it is.
  static func write(_ text: String) { _ = put(text, STDERR_FILENO) }

  /// Writes all of a text, and notes where nobody is there to read it. Returns the system's error, 0 for none.
  private static func put(_ text: String, _ descriptor: Int32) -> Int32 {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress!, $0.count) }
      if count < 0, errno == EINTR || errno == EAGAIN { continue }
      guard count > 0 else {
        let failure = errno
        if failure == EPIPE { Interrupt.readerIsGone() }
        return failure
      }
      bytes = bytes.dropFirst(count)
    }
    return 0
  }
}

/// `write` of the system.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
  write(descriptor, bytes, count)
}
