import Foundation
import Tensors

/// What the program reads from standard input.
enum StandardInput {
  /// Hands over line after line, as each comes in, without its end.
  ///
  /// - Throws: `UserError(.badData)` for a line that is not UTF-8, and what `body` throws.
  static func lines(_ body: (String) throws -> Void) throws {
    if isatty(STDIN_FILENO) == 1 { Console.note("one prompt a line; Ctrl-D ends") }
    var number = 0
    func hand(_ bytes: ArraySlice<UInt8>) throws {
      number += 1
      // By bytes: a line's last character may be all of the line.
      let end = bytes.last == 0x0D ? bytes.count - 1 : bytes.count
      guard let line = String(validating: bytes.prefix(end), as: UTF8.self) else {
        throw UserError(.badData, "line \(number) of standard input is not UTF-8")
      }
      try body(line)
    }
    var rest: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(STDIN_FILENO, &block, block.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw UserError(
          .inputOutput, "standard input can't be read: \(String(cString: strerror(errno)))",
          remedy: "give the prompt as an argument")
      }
      var lines = block[..<count].split(separator: 0x0A, omittingEmptySubsequences: false)
      if count == 0 {
        if !rest.isEmpty { try hand(rest[...]) }
        return
      }
      let last = lines.removeLast()
      for line in lines {
        if rest.isEmpty {
          try hand(line)
        } else {
          try hand((rest + line)[...])
          rest = []
        }
      }
      rest += last
    }
  }
}
