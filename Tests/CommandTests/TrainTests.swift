import DemoModel
import Foundation
import ModelFiles
import TestSupport
import Testing

/// Training as a person runs it: what it leaves, what it says, and how it ends.
@Suite(.serialized) struct TrainTests {
  private func train(_ steps: Int, _ output: URL, _ more: [String] = []) -> [String] {
    [
      "train", "--model", "demo", "--images", "demo:my-cat", "--token", "<my-cat>", "--initializer", "cat", "--method",
      "plain", "--steps",
      "\(steps)", "--resolution", "32", "--checkpoint-every", "2", "--device", "cpu", "--output", output.path,
    ] + more
  }

  private func expectSameBytes(_ a: URL, _ b: URL, sourceLocation: SourceLocation = #_sourceLocation) throws {
    try expectSameFiles(["learned_embeds.safetensors", "metrics.csv"], a, b, sourceLocation: sourceLocation)
  }

  private func object(_ text: String) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  @Test func theWordsPathIsTheResult() throws {
    try TemporaryFolder.with { folder in
      let run = folder.appendingPathComponent("run")
      let result = try Program.run(train(2, run))
      #expect(result.code == 0)
      #expect(result.output == run.appendingPathComponent("learned_embeds.safetensors").path + "\n")
    }
  }

  @Test func jsonSaysWhatCameOfIt() throws {
    try TemporaryFolder.with { folder in
      let run = folder.appendingPathComponent("run")
      let result = try Program.run(train(2, run, ["--json", "--seed", "7"]))
      #expect(result.code == 0)
      let json = try object(result.output)
      #expect(json["embedding"] as? String == run.appendingPathComponent("learned_embeds.safetensors").path)
      #expect(json["steps_done"] as? Int == 2 && json["finished"] as? Bool == true && json["seed"] as? Int == 7)
      #expect((json["final_loss"] as? Double).map { $0 > 0 } == true)
    }
  }

  /// What stands on standard error as a warning stands in the result as well.
  @Test func jsonHoldsTheWarnings() throws {
    try TemporaryFolder.with { folder in
      let pictures = folder.appendingPathComponent("pictures")
      try FileManager.default.copyItem(at: DemoConcept.myCat.folder, to: pictures)
      try Data("striped".utf8).write(to: pictures.appendingPathComponent("caption.txt"))
      let result = try Program.run(
        train(1, folder.appendingPathComponent("run"), ["--images", pictures.path, "--json", "--seed", "-1"]))
      #expect(result.code == 0)
      let json = try object(result.output)
      let warnings = try #require(json["warnings"] as? [String])
      #expect(warnings.first == "passed over caption.txt: not a PNG, JPEG or WebP picture")
      #expect(result.error.contains("ti-gpu: warning: " + warnings[0] + "\n"))
      let seed = try #require(json["seed"] as? Int)
      #expect(result.error.contains("Seed: \(seed)\n"))
    }
  }

  /// The check is the library's: nothing is written, and the pictures stay as they are.
  @Test func resultsDoNotGoAmongThePictures() throws {
    try TemporaryFolder.with { folder in
      let pictures = folder.appendingPathComponent("pictures")
      try FileManager.default.copyItem(at: DemoConcept.myCat.folder, to: pictures)
      let before = try FileManager.default.subpathsOfDirectory(atPath: folder.path).sorted()
      for output in [pictures, folder, pictures.appendingPathComponent("run")] {
        let result = try Program.run(train(1, output, ["--images", pictures.path, "--overwrite"]))
        #expect(result.code == 64 && result.error.contains("name another"), "\(result.error)")
      }
      #expect(try FileManager.default.subpathsOfDirectory(atPath: folder.path).sorted() == before)
    }
  }

  /// A finished run, then more steps: the folder knows model, pictures, device and options.
  @Test func theFolderAloneIsEnoughToGoOn() throws {
    try TemporaryFolder.with { folder in
      let (unbroken, resumed) = (folder.appendingPathComponent("a"), folder.appendingPathComponent("b"))
      #expect(try Program.run(train(5, unbroken)).code == 0)
      #expect(try Program.run(train(3, resumed)).code == 0)
      let finished = try Program.run(["train", "--resume", resumed.path])
      #expect(finished.code == 0 && finished.error.contains("finished: 3 of 3"))
      let more = try Program.run(["train", "--resume", resumed.path, "--steps", "5", "--json"])
      #expect(more.code == 0)
      #expect(try object(more.output)["steps_done"] as? Int == 5)
      try expectSameBytes(unbroken, resumed)
      let fewer = try Program.run(["train", "--resume", resumed.path, "--steps", "4"])
      #expect(fewer.code == 64 && fewer.error.contains("has done 5 steps"))
    }
  }

  @Test func aNewRunDoesNotTakeAnothersPlace() throws {
    try TemporaryFolder.with { folder in
      let run = folder.appendingPathComponent("run")
      #expect(try Program.run(train(1, run)).code == 0)
      let second = try Program.run(train(1, run))
      #expect(second.code == 73 && second.error.contains("--overwrite"))
      #expect(try Program.run(train(1, run, ["--overwrite"])).code == 0)
    }
  }

  /// Ctrl-C, a polite kill and a closed terminal in the midst of training: the run is saved, and goes on to the same bytes.
  @Test(arguments: [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)] as [(Int32, Int32)])
  func signalsSave(signal: Int32, code: Int32) throws {
    try TemporaryFolder.with { folder in
      let (unbroken, ended) = (folder.appendingPathComponent("a"), folder.appendingPathComponent("b"))
      let result = try Program.run(train(100, ended)) { process in
        // Once steps are being taken.
        while process.isRunning, (try? Data(contentsOf: ended.appendingPathComponent("metrics.csv")))?.count ?? 0 < 200
        {
          usleep(1000)
        }
        kill(process.processIdentifier, signal)
      }
      #expect(result.code == code, "\(result.error)")
      #expect(result.error.contains("--resume"))
      #expect(FileManager.default.fileExists(atPath: ended.appendingPathComponent("learned_embeds.safetensors").path))
      #expect(try Program.run(["train", "--resume", ended.path]).code == 0)
      #expect(try Program.run(train(100, unbroken)).code == 0)
      try expectSameBytes(unbroken, ended)
    }
  }

  /// A file that may grow no further in the midst of training, as on a full disk: the run goes on, no file is half-written, word and
  /// checkpoint are there, and what is missing is said.
  @Test func aFullDiskLosesNoRun() throws {
    try TemporaryFolder.with { folder in
      let run = folder.appendingPathComponent("run")
      // A line of the metrics takes more than 60 bytes.
      let result = try Program.run(train(200, run), fileKibibytes: 8)
      #expect(result.code == 74, "\(result.error)")
      #expect(result.error.contains("metrics.csv") && result.error.contains("training goes on"), "\(result.error)")
      for place in [run, run.appendingPathComponent("checkpoints")] {
        let names = try FileManager.default.contentsOfDirectory(atPath: place.path)
        #expect(!names.contains { $0.hasSuffix(".partial") }, "\(names)")
      }
      let metrics = try String(contentsOf: run.appendingPathComponent("metrics.csv"), encoding: .utf8)
      let lines = metrics.split(separator: "\n", omittingEmptySubsequences: false)
      #expect(metrics.hasSuffix("\n") && lines.count > 50 && lines.count < 200)
      #expect(Set(lines.dropLast().map { $0.split(separator: ",", omittingEmptySubsequences: false).count }).count == 1)
      let word = run.appendingPathComponent("learned_embeds.safetensors")
      let learned = try Data(contentsOf: word)
      let again = try Program.run(["train", "--resume", run.path])
      #expect(again.code == 0 && again.error.contains("200 of 200"), "\(again.error)")
      #expect(try Data(contentsOf: word) == learned)
    }
  }

  /// Until the word has settled, or the time is up: what was asked for is found in the report and goes on from the folder alone.
  @Test func aRunEndsByItself() throws {
    try TemporaryFolder.with { folder in
      let run = folder.appendingPathComponent("run")
      // Time for some of the steps, and none to settle in.
      let options = [
        "--steps", "auto", "--held-out", "2", "--held-out-every", "4000", "--json", "--max-minutes", "0.05",
      ]
      let result = try Program.run(train(1, run, []).filter { $0 != "--steps" && $0 != "1" } + options)
      #expect(result.code == 0, "\(result.error)")
      let json = try object(result.output)
      #expect((json["held_out_loss"] as? Double).map { $0 > 0 } == true && json["finished"] as? Bool == true)
      let warnings = try #require(json["warnings"] as? [String])
      #expect(warnings.contains { $0.contains("--max-minutes") }, "\(warnings)")
      let report = try object(String(contentsOf: run.appendingPathComponent("training.json"), encoding: .utf8))
      let settings = try #require(report["settings"] as? [String: Any])
      // Twice plain training's 2000.
      #expect(settings["steps"] as? Int == 4000 && (settings["held_out"] as? [String: Any])?["settling"] != nil)
      #expect((report["held_out"] as? [String: Any])?["verdict"] != nil)
      let wrong = try Program.run(train(1, run, ["--overwrite"]).map { $0 == "1" ? "soon" : $0 })
      #expect(wrong.code == 64 && wrong.error.contains("auto"), "\(wrong.error)")
    }
  }

  /// A spherical run ends when its word has settled, unless it is asked for steps, is a quick one or has nothing to go by; one that
  /// ended so, or was stopped, goes on by steps of its own.
  @Test func sphericalRunsEndWhenSettled() throws {
    try TemporaryFolder.with { folder in
      func settings(_ run: URL) throws -> (steps: Int?, isSettling: Bool) {
        let report = try object(String(contentsOf: run.appendingPathComponent("training.json"), encoding: .utf8))
        let settings = try #require(report["settings"] as? [String: Any])
        return (settings["steps"] as? Int, (settings["held_out"] as? [String: Any])?["settling"] != nil)
      }
      let method = ["--method", "spherical", "--max-minutes", "0.001", "--overwrite"]
      for (options, steps, isSettling) in [
        ([], 500, true), (["--held-out", "0"], 250, false), (["--quick"], 120, false), (["--steps", "7"], 7, false),
        (["--schedule", "constant", "--held-out", "1"], 500, true),
      ] as [([String], Int, Bool)] {
        let run = folder.appendingPathComponent("run")
        let arguments = train(1, run, []).filter { $0 != "--steps" && $0 != "1" && $0 != "--method" && $0 != "plain" }
        let result = try Program.run(arguments + method + options)
        #expect(result.code == 0, "\(result.error)")
        let found = try settings(run)
        #expect(found.steps == steps && found.isSettling == isSettling, "\(options): \(found)")
      }
      let run = folder.appendingPathComponent("run")
      let done = try Program.run(["train", "--resume", run.path, "--steps", "6", "--json"])
      #expect(try done.code == 0 && object(done.output)["steps_done"] as? Int == 6, "\(done.error)")
      let found = try settings(run)
      #expect(found.steps == 6 && !found.isSettling)
    }
  }

  /// Nobody reads the result any more: the work is kept, and the exit code says so.
  @Test func aReaderThatGoesAwayIsNoticed() throws {
    try TemporaryFolder.with { folder in
      let run = folder.appendingPathComponent("run")
      let result = try Program.run(train(2, run), output: .closedPipe)
      #expect(result.code == 141)
      #expect(FileManager.default.fileExists(atPath: run.appendingPathComponent("learned_embeds.safetensors").path))
    }
  }

  /// A replay holds its steps against the trace's, and writes the word.
  @Test func aReplayWritesItsWord() throws {
    try TemporaryFolder.with { folder in
      let model = Fixtures.url("models/tiny-sd1")
      let result = try Program.run([
        "train", "--model", model.path, "--replay", model.appendingPathComponent("replay.safetensors").path, "--token",
        "<new>", "--device", "cpu", "--replay-tolerance", "1e-5", "--output", folder.appendingPathComponent("run").path,
      ])
      #expect(result.code == 0, "\(result.error)")
      #expect(
        FileManager.default.fileExists(atPath: folder.appendingPathComponent("run/learned_embeds.safetensors").path))
    }
  }
}
