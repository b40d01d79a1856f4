import Foundation
import Images
import ModelFiles
import TestSupport
import Testing

@testable import TextualInversion

/// A folder as people have them is learned as Pillow shows it: Tools/reference/odd_pictures.py.
@Suite struct OddPicturesTests {
  static let folder = Fixtures.url("odd_pictures")

  @Test func everyPictureIsLearnedAsItLooks() throws {
    let expected = try SafetensorsFile(Self.folder.appendingPathComponent("expected.safetensors"))
    let concept = try Concept(folder: Self.folder, buckets: AspectBuckets(resolution: 32, step: 16), cell: 4)
    #expect(concept.names == expected.names.sorted() && concept.names.count == 8)
    #expect(concept.skipped.count == 5)
    for (name, fitted) in zip(concept.names, concept.pictures) {
      let tensor = try expected.integers(name)
      let picture = fitted.picture
      #expect([picture.height, picture.width, 3] == tensor.shape.dimensions, "\(name)")
      // Decoders of JPEG may differ by a level or two, as in `DecodingTests`.
      let largest = name.hasSuffix(".jpg") ? 1 : 0
      let differences = zip(picture.pixels, tensor.values).map { abs(Int($0) - Int($1)) }
      #expect(differences.max().map { $0 <= largest } == true, "\(name): \(differences.max() ?? -1)")
    }
  }

  /// Names that are alike but for how their accents are stored are two files.
  @Test func namesThatLookAlikeAreToldApart() throws {
    try TemporaryFolder.with { folder in
      for name in ["cafe\u{301}.png", "caf\u{E9}.png", "写真 🐈.png"] {
        try FileManager.default.copyItem(
          at: Self.folder.appendingPathComponent("flat.png"), to: folder.appendingPathComponent(name))
      }
      let concept = try Concept(folder: folder, buckets: AspectBuckets(resolution: 32))
      #expect(concept.names == ["cafe\u{301}.png", "caf\u{E9}.png (2)", "写真 🐈.png"])
      #expect(concept.warnings.isEmpty)
    }
  }
}
