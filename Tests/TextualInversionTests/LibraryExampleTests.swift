import DemoModel
import Foundation
import Images
import TestSupport
import Testing
import TextualInversion

/// The example of Docs/Library.md is the file beside this one, and runs.
@Suite struct LibraryExampleTests {
  @Test func theDocumentShowsWhatIsCompiled() throws {
    let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    let document = source.deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent(
      "Docs/Library.md")
    let blocks = try String(contentsOf: document, encoding: .utf8).components(separatedBy: "```swift\n")
    let shown = try #require(blocks.dropFirst().first?.components(separatedBy: "```").first)
    #expect(try shown == String(contentsOf: source.appendingPathComponent("LibraryExample.swift"), encoding: .utf8))
  }

  /// The defaults are the program's: four vectors on the sphere, in steps of four until the word has settled; stopped in time, the run can be gone on with.
  @Test func theExampleTeachesAndDraws() throws {
    try TemporaryFolder.with { folder in
      try teach(model: DemoModel.model.path, pictures: DemoConcept.myCat.folder, output: folder, seconds: 1)
      let report = try TrainingReport(folder.appendingPathComponent("training.json"))
      #expect(report.settings.method == .spherical && report.settings.batchSize == 4)
      #expect(report.settings.steps == 500 && report.settings.heldOut.settling != nil)
      #expect(report.settings.placeholder.vectors == 4 && report.settings.resolution == 64)
      #expect(report.state == .stopped && (1..<500).contains(report.stepsDone))
      let picture = try Picture(contentsOf: folder.appendingPathComponent("toy.png"))
      #expect(picture.width == 64 && picture.height == 64)
    }
  }
}
