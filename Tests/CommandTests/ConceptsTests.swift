import DemoModel
import Foundation
import TestSupport
import Testing

/// Several words at once, as a person asks for them.
@Suite struct ConceptsTests {
  @Test func everyFolderTeachesItsWord() throws {
    try TemporaryFolder.with { folder in
      let (concepts, run) = (folder.appendingPathComponent("concepts"), folder.appendingPathComponent("run"))
      try FileManager.default.createDirectory(at: concepts, withIntermediateDirectories: true)
      for (concept, name) in [(DemoConcept.rocketToy, "2_rocket toy"), (.myCat, "my-cat")] {
        try FileManager.default.copyItem(at: concept.folder, to: concepts.appendingPathComponent(name))
      }
      func train(_ more: [String]) throws -> Program.Result {
        try Program.run(
          ["train", "--model", "demo", "--concepts", concepts.path, "--device", "cpu", "--resolution", "32"] + more)
      }
      let both = try train(["--images", "demo:my-cat", "--output", run.path, "--steps", "2"])
      #expect(both.code == 64 && both.error.contains("--concepts"))
      let result = try train(["--initializer", "cat", "--output", run.path, "--steps", "2"])
      #expect(result.code == 0, "\(result.error)")
      for name in ["rocket.safetensors", "my-cat.safetensors", "learned_embeds.safetensors"] {
        #expect(FileManager.default.fileExists(atPath: run.appendingPathComponent(name).path), "\(name)")
      }
      let again = try Program.run(["train", "--resume", run.path, "--steps", "3", "--device", "cpu"])
      #expect(again.code == 0, "\(again.error)")
      let shown = try Program.run(["inspect", run.appendingPathComponent("learned_embeds.safetensors").path])
      #expect(shown.output.contains("<rocket>") && shown.output.contains("<my-cat>"))
    }
  }
}
