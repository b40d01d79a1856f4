import Foundation
import TestSupport
import Testing

@testable import ti_gpu

@Suite struct ProgressLineTests {
  /// A terminal of a given width, as a person's shell is one: a line drawn over must not reach its last column.
  @Test(arguments: [16, 30, 200]) func aLineIsNeverLongerThanTheTerminal(width: UInt16) throws {
    var (terminal, program): (Int32, Int32) = (-1, -1)
    var size = winsize(ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0)
    try #require(openpty(&terminal, &program, nil, nil, &size) == 0)
    defer { close(terminal) }
    try TemporaryFolder.with { folder in
      let process = Process()
      process.executableURL = Program.url
      process.arguments = [
        "generate", "--model", "demo", "--prompt", "a cat", "--steps", "12", "--device", "cpu", "--output",
        folder.appendingPathComponent("a.png").path,
      ]
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle(fileDescriptor: program, closeOnDealloc: false)
      try process.run()
      process.waitUntilExit()
      close(program)
      #expect(process.terminationStatus == 0)
    }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = try #require(Optional(read(terminal, &bytes, bytes.count)))
    let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    let lines = text.unicodeScalars.split { $0 == "\r" || $0 == "\n" }.map(\.count)
    #expect(lines.count >= 2, "\(text)")
    #expect(lines.allSatisfy { $0 < width }, "\(text)")
    #expect(width > 100 || lines.contains(Int(width) - 1), "\(text)")
  }

  /// Widths by Unicode's table of East Asian widths, and of emoji presentation.
  @Test func wideLettersCountTwice() {
    #expect("ab".columns == 2 && "日本".columns == 4 && "e\u{301}".columns == 1 && "한글".columns == 4 && "🐈".columns == 2)
    #expect("a日本".prefix(columns: 4) == "a日")
    #expect("a日本".prefix(columns: 0) == "" && "a日本".prefix(columns: -1) == "" && "a日本".prefix(columns: 9) == "a日本")
  }
}
