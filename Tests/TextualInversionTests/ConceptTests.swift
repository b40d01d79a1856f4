import Foundation
import Images
import Tensors
import TestSupport
import Testing
import TextualInversion

@Suite struct ConceptTests {
  private func save(_ name: String, _ width: Int, _ height: Int, in folder: URL) throws {
    try Picture(width: width, height: height, color: Color(1, 2, 3)).encodedPNG().write(
      to: folder.appendingPathComponent(name))
  }

  /// A picture whose shorter side has to be doubled, or worse, is named with its size.
  @Test func saysWhichPicturesAreBlownUp() throws {
    try TemporaryFolder.with { folder in
      try save("a.png", 32, 200, in: folder)
      try save("b.png", 33, 33, in: folder)
      try save("c.png", 8, 9, in: folder)
      let warnings = try Concept(folder: folder, resolution: 64, fitting: .crop).warnings
      #expect(warnings.count == 1)
      #expect(warnings.first?.contains("a.png (32 x 200), c.png (8 x 9);") == true)
      #expect(try Concept(folder: folder, resolution: 8, fitting: .squash).warnings.isEmpty)
    }
  }

  /// One line a reason, however many files.
  @Test func saysWhatIsPassedOver() throws {
    try TemporaryFolder.with { folder in
      for index in 1...9 {
        try save("\(index).png", 8, 8, in: folder)
        let text = Data([[], [0xFF], Array("a toy\n\n a ball\n".utf8)][min(index, 3) - 1])
        try text.write(to: folder.appendingPathComponent("\(index).txt"))
      }
      try Data("{}".utf8).write(to: folder.appendingPathComponent("a.json"))
      let concept = try Concept(folder: folder, resolution: 8, fitting: .crop)
      #expect(
        concept.warnings == [
          "passed over a.json: not a PNG, JPEG or WebP picture", "passed over 1.txt: an empty caption",
          "passed over 2.txt: is no text in UTF-8; save it as such",
        ])
      #expect(concept.skipped.count == 3)
      #expect(concept.captions.map { $0?.lines } == [nil, nil] + Array(repeating: ["a toy", "a ball"], count: 7))
      let without = try Concept(folder: folder, resolution: 8, fitting: .crop, readsCaptions: false)
      #expect(without.captions.allSatisfy { $0 == nil })
      #expect(
        without.warnings.last
          == "passed over 1.txt, 2.txt, 3.txt, 4.txt, 5.txt and 4 more: captions are not read in this run")
    }
  }

  @Test func saysWhichPicturesAreTransparent() throws {
    try TemporaryFolder.with { folder in
      for name in ["rgba.png", "rgb.png", "alpha.webp"] {
        try FileManager.default.copyItem(
          at: Fixtures.url("images/\(name)"), to: folder.appendingPathComponent(name))
      }
      let warnings = try Concept(folder: folder, resolution: 8, fitting: .crop).warnings
      #expect(warnings.count == 1)
      #expect(warnings.first?.contains("alpha.webp, rgba.png;") == true)
    }
  }

  @Test func refusesResultsAmongThePictures() throws {
    try TemporaryFolder.with { folder in
      let pictures = folder.appendingPathComponent("pictures")
      try FileManager.default.createDirectory(
        at: pictures.appendingPathComponent("sub"), withIntermediateDirectories: true)
      let link = folder.appendingPathComponent("link")
      try FileManager.default.createSymbolicLink(at: link, withDestinationURL: pictures)
      for output in [
        "pictures", "pictures/", "./pictures", "pictures/run", "pictures/new/run", "link", "link/run",
        "pictures/sub/..",
        "pictures/sub/../../pictures", "nowhere/../pictures", ".", "",
      ] {
        let url = URL(fileURLWithPath: folder.path + "/" + output)
        let error = userError { try Concept.refuseOverlap(pictures: pictures, output: url) }
        #expect(error?.kind == .usage, "\(output)")
        #expect(userError { try Concept.refuseOverlap(pictures: link, output: url) }?.kind == .usage, "\(output)")
      }
      for output in ["pictures2", "run", "pictures/../run", "pictures2/pictures", "link2"] {
        try Concept.refuseOverlap(pictures: pictures, output: folder.appendingPathComponent(output))
      }
    }
  }
}
