import DemoModel
import Foundation
import ModelFiles
import Synchronization
import Tensors
import TestSupport
import Testing

/// Every number that comes from a file, replaced in turn by numbers that no file should hold: the program comes to a result or
/// to one line and an exit code of sysexits.h, in time and within memory. What is right is the operating system's word: no
/// signal, no 70, no 10 s, no 4 GiB.
@Suite struct NumberTests {
  static let values = [
    "0", "-1", "1", "2147483648", "4611686018427387904", "9223372036854775807", "1e308", "0.5", "text",
  ]

  private static let model = Fixtures.url("models/tiny-sd1")
  private static let generate = ["generate", "--prompt", "a <toy>", "--steps", "1", "--device", "cpu"]
  private static let train = [
    "train", "--token", "<toy>", "--initializer", "cat", "--steps", "1", "--device", "cpu", "--images",
    Fixtures.url("images").path,
  ]

  /// The numbers of a vocabulary are of one kind: some of them stand for all.
  private static let largeFiles: Set = ["vocab.json", "tokenizer.json"]

  @Test func numbersOfAModelsConfigurations() throws {
    try TemporaryFolder.with { folder in
      var cases: [Case] = []
      for (source, values) in [(Self.model, Self.values), (DemoModel.model, ["0", "4611686018427387904", "text"])] {
        for file in try Self.jsonFiles(source) {
          let text = try String(contentsOf: source.appendingPathComponent(file), encoding: .utf8)
          let numbers = Self.numbers(text)
          let step = Self.largeFiles.contains((file as NSString).lastPathComponent) ? max(1, numbers.count / 5) : 1
          for range in stride(from: 0, to: numbers.count, by: step).map({ numbers[$0] }) {
            for value in values {
              let changed = Self.replacing(range, of: text, by: value, quoted: true)
              let name = "\(source.lastPathComponent)/\(file) at \(range.location): \(value)"
              let commands =
                source == Self.model ? [Self.generate, Self.train + ["--resolution", "16"]] : [Self.generate]
              for command in commands {
                cases.append(
                  Case(name: "\(command[0]), \(name)") { folder in
                    let model = folder.appendingPathComponent("model")
                    try Self.link(source, to: model, except: file)
                    try changed.write(to: model.appendingPathComponent(file), atomically: false, encoding: .utf8)
                    return command + ["--model", model.path, "--output", folder.appendingPathComponent("out.png").path]
                  })
              }
            }
          }
        }
      }
      #expect(cases.count > 1000)
      try Self.check(cases, in: folder)
    }
  }

  @Test func numbersOfEmbeddingsTracesAndCheckpoints() throws {
    try TemporaryFolder.with { folder in
      let run = folder.appendingPathComponent("sound")
      let model = ["--model", Self.model.path]
      let made = try Program.run(Self.train + model + ["--resolution", "16", "--output", run.path])
      try #require(made.code == 0, "\(made.error)")
      let word = folder.appendingPathComponent("word.safetensors")
      let rows = try SafetensorsFile(run.appendingPathComponent("learned_embeds.safetensors")).tensor("<toy>")
      try Safetensors.write(
        [("<toy>", rows)],
        metadata: ["format": "pt", "step": "5", "ss_num_train_images": "7", "ss_learning_rate": "0.005"],
        to: word)

      var cases = try Self.metadataCases(word) { file in
        Self.generate + model + ["--embedding", file.path, "--output", file.path + ".png"]
      }
      cases += try Self.metadataCases(Self.model.appendingPathComponent("replay.safetensors")) { file in
        ["train", "--replay", file.path, "--token", "<toy>", "--device", "cpu", "--output", file.path + ".run"] + model
      }
      let checkpoint = "checkpoints/step-00000001.safetensors"
      let resume = { @Sendable (run: URL) in ["train", "--resume", run.path, "--steps", "2"] }
      cases += try Self.metadataCases(run.appendingPathComponent(checkpoint)) { file in
        let copy = file.deletingLastPathComponent().appendingPathComponent("run")
        try FileManager.default.copyItem(at: run, to: copy)
        try FileManager.default.removeItem(at: copy.appendingPathComponent(checkpoint))
        try FileManager.default.moveItem(at: file, to: copy.appendingPathComponent(checkpoint))
        return resume(copy)
      }
      let report = try String(contentsOf: run.appendingPathComponent("training.json"), encoding: .utf8)
      for range in Self.numbers(report) {
        for value in Self.values {
          let changed = Self.replacing(range, of: report, by: value, quoted: true)
          cases.append(
            Case(name: "training.json at \(range.location): \(value)") { folder in
              let copy = folder.appendingPathComponent("run")
              try FileManager.default.copyItem(at: run, to: copy)
              try changed.write(to: copy.appendingPathComponent("training.json"), atomically: false, encoding: .utf8)
              return resume(copy)
            })
        }
      }
      #expect(cases.count > 300)
      try Self.check(cases, in: folder)
    }
  }

  // MARK: -

  private struct Case: Sendable {
    let name: String
    /// Makes the files in a folder of their own, and returns the program's arguments.
    let arguments: @Sendable (_ folder: URL) throws -> [String]
  }

  /// Runs the cases two at a time.
  private static func check(_ cases: [Case], in folder: URL) throws {
    let problems = Mutex<[String]>([])
    DispatchQueue.concurrentPerform(iterations: 2) { worker in
      for index in stride(from: worker, to: cases.count, by: 2) {
        let place = folder.appendingPathComponent("case-\(index)")
        do {
          try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
          defer { try? FileManager.default.removeItem(at: place) }
          let result = try Program.run(cases[index].arguments(place), seconds: 10, memory: 4 << 30)
          let lines = result.error.split(separator: "\n").filter {
            $0.hasPrefix("ti-gpu: ") && !$0.hasPrefix("ti-gpu: warning: ")
          }
          guard [0, 64, 65, 66, 69, 71, 73, 74].contains(result.code), result.code == 0 || lines.count == 1 else {
            problems.withLock { $0.append("\(cases[index].name): \(result.code): \(result.error.suffix(400))") }
            continue
          }
        } catch { problems.withLock { $0.append("\(cases[index].name): \(error)") } }
      }
    }
    let found = problems.withLock { $0 }
    #expect(found.isEmpty, "\(found.count) of \(cases.count):\n\(found.prefix(30).joined(separator: "\n"))")
  }

  /// A case for each number in a safetensors file's metadata and each value.
  private static func metadataCases(
    _ source: URL, _ arguments: @escaping @Sendable (_ file: URL) throws -> [String]
  ) throws -> [Case] {
    let file = try SafetensorsFile(source)
    let bytes = try Data(contentsOf: source)
    var cases: [Case] = []
    for (key, text) in file.metadata.sorted(by: { $0.key < $1.key }) {
      for range in numbers(text) {
        for value in values {
          // A text that is JSON itself takes text in quotes.
          let changed = replacing(range, of: text, by: value, quoted: text.hasPrefix("{") || text.hasPrefix("["))
          var metadata = file.metadata
          metadata[key] = changed
          let data = try replacingMetadata(of: bytes, by: metadata)
          cases.append(
            Case(name: "\(source.lastPathComponent), \(key) at \(range.location): \(value)") { folder in
              let copy = folder.appendingPathComponent("changed.safetensors")
              try data.write(to: copy)
              return try arguments(copy)
            })
        }
      }
    }
    return cases
  }

  private static func replacingMetadata(of data: Data, by metadata: [String: String]) throws -> Data {
    let length = data.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    var header = try #require(try JSONSerialization.jsonObject(with: data[8..<8 + length]) as? [String: Any])
    header["__metadata__"] = metadata
    let text = try JSONSerialization.data(withJSONObject: header)
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) } + text + data[(8 + length)...]
  }

  /// Where the numbers of a text stand; not the digits in words and versions.
  private static func numbers(_ text: String) -> [NSRange] {
    let pattern = #"(?<![\w.\-<|])-?\d+(\.\d+)?([eE][+-]?\d+)?(?![\w.<])"#
    let expression = try? NSRegularExpression(pattern: pattern)
    return expression?.matches(in: text, range: NSRange(text.startIndex..., in: text)).map(\.range) ?? []
  }

  private static func replacing(_ range: NSRange, of text: String, by value: String, quoted: Bool) -> String {
    (text as NSString).replacingCharacters(in: range, with: value == "text" && quoted ? "\"text\"" : value)
  }

  private static func jsonFiles(_ folder: URL) throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".json") }.sorted()
  }

  /// A folder like `source` in which every file is a link, but for one that is not there.
  private static func link(_ source: URL, to target: URL, except left: String) throws {
    for path in try FileManager.default.subpathsOfDirectory(atPath: source.path) {
      let (from, to) = (source.appendingPathComponent(path), target.appendingPathComponent(path))
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: from.path, isDirectory: &isFolder) else { continue }
      try FileManager.default.createDirectory(
        at: isFolder.boolValue ? to : to.deletingLastPathComponent(), withIntermediateDirectories: true)
      if !isFolder.boolValue, path != left {
        try FileManager.default.createSymbolicLink(at: to, withDestinationURL: from)
      }
    }
  }
}
