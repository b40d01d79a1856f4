import DemoModel
import Foundation
import Images
import TestSupport
import Testing

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

  @Test func theExampleTeachesAndDraws() throws {
    try TemporaryFolder.with { folder in
      try teach(model: DemoModel.model, pictures: DemoConcept.myCat.folder, output: folder)
      let picture = try Picture(contentsOf: folder.appendingPathComponent("toy.png"))
      #expect(picture.width == 64 && picture.height == 64)
    }
  }
}
