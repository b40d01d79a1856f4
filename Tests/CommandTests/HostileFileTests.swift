import Foundation
import TestSupport
import Testing

/// Files that want to run something, to grow or to lie (Tools/reference/torch_files.py), given to the program wherever it takes a
/// file: exit code 65 and one line, in time and within memory.
@Suite struct HostileFileTests {
  static let files: [String] = {
    let folder = Fixtures.url("torch")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.filter { name in ["hostile-", "bomb-", "false-"].contains { name.hasPrefix($0) } }.sorted()
  }()

  @Test func thereAreSome() { #expect(Self.files.count > 40) }

  @Test(arguments: files) func isRefusedWithOneLine(_ name: String) throws {
    let file = Fixtures.url("torch/\(name)").path
    let generate = ["generate", "--prompt", "a", "--steps", "1", "--device", "cpu", "--output", "/dev/null"]
    for command in [
      ["inspect", file], generate + ["--model", "demo", "--embedding", file],
      generate + ["--model", file],
    ] {
      let result = try Program.run(command, seconds: 20, memory: 4 << 30)
      #expect(result.code == 65, "\(command[0]): \(result.code), \(result.error)")
      let lines = result.error.split(separator: "\n")
      #expect(lines.count == 1 && result.error.contains(name), "\(command[0]): \(result.error)")
      #expect(!result.error.unicodeScalars.contains { $0.value < 32 && $0 != "\n" })
    }
  }
}
