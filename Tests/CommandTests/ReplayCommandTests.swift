import Foundation
import ModelFiles
import TestSupport
import Tensors
import Testing

/// `train --replay` as a person runs it: what it prints, and how `--replay-tolerance` judges.
@Suite(.serialized) struct ReplayCommandTests {
  private static let model = Fixtures.url("models/tiny-sd1")
  private static let trace = model.appendingPathComponent("replay.safetensors")

  private func replay(_ more: [String], trace: URL = trace) throws -> Program.Result {
    try TemporaryFolder.with { folder in
      try Program.run(
        [
          "train", "--model", Self.model.path, "--replay", trace.path, "--token", "<new>", "--device", "cpu",
          "--output",
          folder.appendingPathComponent("run").path,
        ] + more)
    }
  }

  private struct Report: Decodable {
    struct Errors: Decodable {
      let loss, gradient, embedding: Double
    }
    struct Step: Decodable {
      let step: Int
      let loss: Double
      let errors: Errors
    }
    let steps: [Step]
    let maximum: Errors
    let mode: String
    let precision: String
  }

  /// Every quantity is judged by its own bound: one that no 32-bit float can keep, and ones that all do (Docs/Numerics.md).
  @Test(
    arguments: [
      ("1e-4", nil), ("loss=1e-6,gradient=1e-4,rows=1e-5", nil), ("rows=1e-5", nil), ("0", "loss"),
      ("1e-7", "gradient"),
      ("loss=1,gradient=1e-9,rows=1", "gradient"), ("rows=0", "rows"),
    ] as [(String, String?)]) func theToleranceJudges(_ tolerance: String, excess: String?) throws
  {
    let result = try replay(["--replay-tolerance", tolerance])
    let lines = result.error.split(separator: "\n").filter { $0.contains("--replay-tolerance") }
    if let excess {
      #expect(result.code == 1, "\(result.error)")
      #expect(lines.contains { $0.contains("of the \(excess),") }, "\(result.error)")
    } else {
      #expect(result.code == 0 && lines.isEmpty, "\(result.error)")
    }
    #expect(result.output.split(separator: "\n").last?.hasPrefix("maximum") == true)
  }

  @Test(arguments: ["free", "forced"]) func jsonHoldsEveryStep(mode: String) throws {
    let result = try replay(["--json", "--replay-tolerance", "1e-4"] + (mode == "forced" ? ["--replay-forced"] : []))
    #expect(result.code == 0, "\(result.error)")
    let report = try JSONDecoder().decode(Report.self, from: Data(result.output.utf8))
    #expect(report.mode == mode && report.precision == "f32")
    #expect(report.steps.map(\.step) == Array(1...20))
    let expected = try SafetensorsFile(Self.trace).tensor("losses").values
    for (step, loss) in zip(report.steps, expected) { #expect(abs(step.loss - Double(loss)) <= 1e-6 * Double(loss)) }
    for path in [\Report.Errors.loss, \.gradient, \.embedding] {
      #expect(report.steps.map { $0.errors[keyPath: path] }.max() == report.maximum[keyPath: path])
    }
  }

  @Test(arguments: ["x", "-1", "nan", "loss", "loss=", "loss=1,loss=1", "colour=1", "loss=1,", ""])
  func aToleranceThatIsNoneIsRefused(_ tolerance: String) throws {
    let result = try replay(["--replay-tolerance=\(tolerance)"])
    #expect(result.code == 64 && result.error.contains("replay-tolerance"), "\(result.error)")
  }

  @Test(arguments: [["--replay-tolerance", "1"], ["--replay-forced"]]) func bothGoWithAReplay(_ option: [String]) throws
  {
    let result = try Program.run(
      [
        "train", "--model", "demo", "--images", "demo:my-cat", "--token", "<a>", "--initializer", "cat", "--output",
        "/none",
      ]
        + option)
    #expect(result.code == 64 && result.error.contains("--replay"), "\(result.error)")
  }

  /// Every set of loops that the machine has gives the trace's numbers; one that it lacks is refused by name.
  @Test func theInstructionSetIsChosenByTheEnvironment() throws {
    try TemporaryFolder.with { folder in
      func run(_ set: String) throws -> Program.Result {
        try Program.run(
          [
            "train", "--model", Self.model.path, "--replay", Self.trace.path, "--token", "<new>", "--device", "cpu",
            "--replay-tolerance", "1e-5", "--output", folder.appendingPathComponent(set).path,
          ], environment: ["TI_GPU_INSTRUCTION_SET": set])
      }
      #expect(try run("any").code == 0)
      let refused = try run("v99")
      #expect(refused.code == 64 && refused.error.contains("TI_GPU_INSTRUCTION_SET"), "\(refused.error)")
    }
  }

  /// A trace holds its prompts as they were encoded: a `model_max_length` below their length cuts none of them.
  @Test func aTraceKeepsItsLength() throws {
    try TemporaryFolder.with { folder in
      let model = folder.appendingPathComponent("model")
      let source = Fixtures.url("models/tiny-sd1")
      try FileManager.default.copyItem(at: source, to: model)
      try Data(#"{"model_max_length": 40}"#.utf8).write(
        to: model.appendingPathComponent("tokenizer/tokenizer_config.json"))
      let result = try Program.run([
        "train", "--model", model.path, "--replay", source.appendingPathComponent("replay.safetensors").path, "--token",
        "<new>", "--device", "cpu", "--replay-tolerance", "1e-5", "--output", folder.appendingPathComponent("run").path,
      ])
      #expect(result.code == 0, "\(result.error)")
      #expect(result.error.contains("model_max_length ends prompts at 40 places"), "\(result.error)")
    }
  }

  /// A trace that holds draws alone runs, but has nothing to be judged by or to start from.
  @Test func aTraceWithoutExpectationsIsRunAlone() throws {
    try TemporaryFolder.with { folder in
      let file = try SafetensorsFile(Self.trace)
      let draws = folder.appendingPathComponent("draws.safetensors")
      var tensors: [(String, HostTensor)] = []
      for name in ["latents", "noise", "initial_embedding"] { tensors.append((name, try file.tensor(name))) }
      try Safetensors.write(tensors, metadata: file.metadata, to: draws)
      // Whole numbers go in as they are in the trace.
      try appendIntegers(["timesteps", "input_ids"], of: Self.trace, to: draws)
      let plain = try replay([], trace: draws)
      #expect(plain.code == 0 && !plain.output.contains("error"), "\(plain.error)")
      for option in [["--replay-tolerance", "1"], ["--replay-forced"]] {
        let result = try replay(option, trace: draws)
        #expect(result.code == 65 && result.error.contains("draws.safetensors"), "\(result.error)")
      }
    }
  }

  /// Copies I64 tensors from one safetensors file to the end of another, by the format's own rules: eight bytes of length, a JSON
  /// header, the data.
  private func appendIntegers(_ names: [String], of source: URL, to target: URL) throws {
    func parts(_ url: URL) throws -> (header: [String: Any], data: Data) {
      let bytes = try Data(contentsOf: url)
      let length = Int(
        bytes.prefix(8).enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) })
      let header = try JSONSerialization.jsonObject(with: bytes.subdata(in: 8..<8 + length))
      return (try #require(header as? [String: Any]), bytes.subdata(in: 8 + length..<bytes.count))
    }
    let from = try parts(source)
    var to = try parts(target)
    for name in names {
      var entry = try #require(from.header[name] as? [String: Any])
      let offsets = try #require(entry["data_offsets"] as? [Int])
      entry["data_offsets"] = [to.data.count, to.data.count + offsets[1] - offsets[0]]
      to.header[name] = entry
      to.data += from.data.subdata(in: offsets[0]..<offsets[1])
    }
    let header = try JSONSerialization.data(withJSONObject: to.header)
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
    try (length + header + to.data).write(to: target)
  }
}
