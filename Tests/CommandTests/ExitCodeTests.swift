import DemoModel
import Foundation
import TestSupport
import Testing

/// Bad input: one clear line on standard error, the exit code of `sysexits.h`, and nothing half-written.
@Suite struct ExitCodeTests {
  private static let train = [
    "train", "--model", "demo", "--images", "demo:my-cat", "--token", "<new>", "--initializer", "cat", "--steps", "1",
    "--device", "cpu",
  ]

  private static let generate = ["generate", "--model", "demo", "--prompt", "a", "--device", "cpu"]

  private static let cases: [(name: String, arguments: [String], code: Int32, mentions: String)] = [
    ("unknown device word", train + ["--device", "gpu9000", "--output", "OUT"], 64, "gpu9000"),
    ("negative steps", train + ["--steps", "-3", "--output", "OUT"], 64, "steps"),
    ("steps that are no number", train + ["--steps", "many", "--output", "OUT"], 64, "many"),
    ("zero vectors", train + ["--vectors", "0", "--output", "OUT"], 64, "vectors"),
    ("negative rate", train + ["--learning-rate", "-1", "--output", "OUT"], 64, "learning-rate"),
    ("odd resolution", train + ["--resolution", "65", "--output", "OUT"], 64, "resolution"),
    ("empty initializer", train + ["--initializer", "", "--output", "OUT"], 64, "initializer"),
    ("rates that are none", train + ["--learning-rate", "1e-3:5,1e-4:2", "--output", "OUT"], 64, "learning-rate"),
    ("rates on the sphere", train + ["--learning-rate", "0.1:5", "--output", "OUT"], 64, "--method plain"),
    ("timesteps that are none", train + ["--timesteps", "900..500", "--output", "OUT"], 64, "timesteps"),
    ("timesteps beyond the model's", train + ["--timesteps", "500..2000", "--output", "OUT"], 64, "0 to 999"),
    ("a threshold's schedule alone", train + ["--huber-schedule", "snr", "--output", "OUT"], 64, "--huber"),
    ("clipping on the sphere", train + ["--max-gradient-norm", "1", "--output", "OUT"], 64, "--method plain"),
    ("a missing word to start from", train + ["--initializer", "OUT/none.pt", "--output", "OUT/run"], 66, "none.pt"),
    ("a slip in a command of words", ["words", "fnid", "--model", "demo"], 64, "'words find'"),
    ("a slip in an option of words", ["words", "find", "--model", "demo", "--imges", "a"], 64, "'--images'"),
    ("words without pictures", ["words", "find", "--model", "demo"], 64, "--images"),
    ("unknown option", train + ["--frobnicate", "--output", "OUT"], 64, "frobnicate"),
    ("missing output", train, 64, "output"),
    ("missing model", train + ["--model", "OUT/none", "--output", "OUT/run"], 66, "none"),
    ("missing pictures", train + ["--images", "OUT/none", "--output", "OUT/run"], 66, "none"),
    ("unknown example", train + ["--images", "demo:dog", "--output", "OUT/run"], 66, "dog"),
    ("missing run", train + ["--resume", "OUT/none"], 66, "none"),
    ("token of the vocabulary", train + ["--token", "cat", "--output", "OUT/run"], 65, "cat"),
    ("missing trace", train + ["--replay", "OUT/none", "--output", "OUT/run"], 66, "none"),
    ("no such platform", train + ["--device", "opencl:99.0", "--output", "OUT/run"], 69, "99"),
    ("output under a file", train + ["--output", "/dev/null/run"], 73, "/dev/null"),
    (
      "missing embedding",
      ["generate", "--model", "demo", "--prompt", "a", "--embedding", "OUT/none", "--output", "OUT/a.png"], 66, "none"
    ),
    (
      "picture in a missing folder",
      ["generate", "--model", "demo", "--prompt", "a", "--device", "cpu", "--output", "OUT/none/a.png"], 73, "none"
    ),
    ("unknown device of another program", ["bench", "--device", "cuda"], 64, "opencl"),
    ("a slip in an option", ["generate", "--model", "demo", "--promt", "a", "--output", "OUT/a"], 64, "'--prompt'"),
    ("kernels that are not used", ["bench", "--device", "cpu", "--kernel-form", "gpu"], 64, "--device opencl"),
    ("a slip in a command", ["trian"], 64, "'train'"),
    ("help for no command", ["help", "generat"], 64, "'generate'"),
    ("an option's name elsewhere", train + ["--output_dir", "OUT"], 64, "'--output'"),
    ("an option's name elsewhere, joined", train + ["--max-train-steps=3"], 64, "'--steps'"),
    ("a word that belongs to no option", ["train", "foo"], 64, "'foo'"),
    ("another behind an option", train + ["--flip", "foo", "--output", "OUT"], 64, "'foo'"),
    ("everything missing", ["train", "--steps", "1"], 64, "--images"),
    ("a value that is none of a few", train + ["--output", "OUT/a", "--kind", "person"], 64, "'subject'"),
    (
      "a number below its range",
      ["generate", "--model", "demo", "--prompt", "a", "--guidance", "-3", "--output", "OUT/a"],
      64, "--guidance must be"
    ),
    ("a seed that is none", train + ["--seed", "-2", "--output", "OUT"], 64, "'-2'"),
    ("empty picture folder", train + ["--images", "", "--output", "OUT/run"], 64, "--images"),
    ("empty output", train + ["--output", ""], 64, "--output"),
    ("empty model", ["generate", "--model", "", "--prompt", "a", "--output", "OUT/a"], 64, "--model"),
    (
      "empty embedding", ["generate", "--model", "demo", "--prompt", "a", "--embedding", "", "--output", "OUT/a"], 64,
      "not set"
    ),
    ("an ending that is not written", generate + ["--output", "OUT/a.jpg"], 64, ".jpg"),
    ("another", generate + ["--model", "OUT/none", "--output", "OUT/a.WEBP"], 64, ".webp"),
    ("several pictures in a file", generate + ["--count", "2", "--output", "OUT/a.PNG"], 64, "--count"),
    ("a name for a missing embedding", generate + ["--embedding", "OUT/none=<a>", "--output", "OUT/a"], 66, "none"),
    ("a name of two words", generate + ["--embedding", "OUT/none=a b", "--output", "OUT/a"], 64, "'a b'"),
    ("an empty name", generate + ["--embedding", "OUT/none=", "--output", "OUT/a"], 64, "FILE=WORD"),
    (
      "a picture beyond 64 bits", generate + ["--width", "9223372036854775800", "--output", "OUT/a.png"], 64,
      "9223372036854775800"
    ),
    ("a picture that is very long", generate + ["--width", "100000", "--output", "OUT/a.png"], 64, "100000x64"),
    ("unknown shape", ["bench", "--model-shape", "sd9"], 64, "sd9"),
  ]

  @Test(arguments: cases.indices) func refuses(index: Int) throws {
    let (name, arguments, code, mentions) = Self.cases[index]
    try TemporaryFolder.with { folder in
      let result = try Program.run(arguments.map { $0.replacingOccurrences(of: "OUT", with: folder.path) })
      #expect(result.code == code, "\(name): \(result.error)")
      let lines = result.error.split(separator: "\n")
      #expect(lines.count == 1, "\(name): \(result.error)")
      #expect(lines.last?.contains(mentions) == true, "\(name): \(result.error)")
      // The same error for a script.
      if index % 3 == 0 {
        let result = try Program.run(
          arguments.map { $0.replacingOccurrences(of: "OUT", with: folder.path) } + ["--json"])
        #expect(result.code == code)
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let report = try decoder.decode(Report.self, from: Data(result.output.utf8))
        #expect(report.error.exitCode == code && report.error.message.contains(mentions), "\(name): \(result.output)")
        #expect(report.warnings.isEmpty)
      }
      let left = try FileManager.default.subpathsOfDirectory(atPath: folder.path)
      #expect(left.isEmpty, "\(name) left \(left)")
    }
  }

  private struct Report: Decodable {
    struct Failure: Decodable {
      let kind: String
      let exitCode: Int32
      let message: String
    }
    let error: Failure
    let warnings: [String]
  }
}
