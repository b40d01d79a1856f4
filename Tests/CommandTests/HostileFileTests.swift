import Foundation
import TestSupport
import Testing

/// Files that want to run something, to grow or to lie (Tools/reference/torch_files.py), given to the program wherever it takes a
/// file: exit code 65 and one line, within five seconds and a gibibyte of addresses, and nothing is left.
@Suite struct HostileFileTests {
  static let files: [String] = {
    let folder = Fixtures.url("torch")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.filter { name in ["hostile-", "bomb-", "false-"].contains { name.hasPrefix($0) } }.sorted()
  }()

  @Test func thereAreSome() { #expect(Self.files.count > 55) }

  @Test(arguments: files) func isRefusedWithOneLine(_ name: String) throws {
    let file = Fixtures.url("torch/\(name)").path
    let generate = ["generate", "--prompt", "a", "--steps", "1", "--device", "cpu", "--output", "/dev/null"]
    let train = [
      "train", "--images", "demo:my-cat", "--token", "<toy>", "--initializer", "cat", "--steps", "1", "--device", "cpu",
      "--output",
    ]
    try TemporaryFolder.with { folder in
      let output = folder.appendingPathComponent("out").path
      for command in [
        ["inspect", file], ["convert", file, output + ".safetensors"],
        generate + ["--model", "demo", "--embedding", file],
        generate + ["--model", file], generate + ["--model", "demo", "--vae", file],
        train + [output, "--model", file],
      ] {
        let result = try Program.run(command, seconds: 5, memory: 1 << 30)
        #expect(result.code == 65, "\(command[0]): \(result.code), \(result.error)")
        let lines = result.error.split(separator: "\n")
        #expect(lines.count == 1 && result.error.contains(name), "\(command[0]): \(result.error)")
        #expect(!result.error.unicodeScalars.contains { $0.value < 32 && $0 != "\n" })
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }
  }
}
