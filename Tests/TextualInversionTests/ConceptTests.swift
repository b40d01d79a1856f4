import Foundation
import Images
import ModelFiles
import Tensors
import TestSupport
import Testing

@testable import TextualInversion

@Suite struct ConceptTests {
  private func save(
    _ name: String, _ width: Int, _ height: Int, in folder: URL, _ color: Color = Color(1, 2, 3)
  ) throws {
    try Picture(width: width, height: height, color: color).encodedPNG().write(
      to: folder.appendingPathComponent(name))
  }

  /// No picture is enlarged without a word; one more than doubled gets advice.
  @Test func saysWhichPicturesAreEnlarged() throws {
    try TemporaryFolder.with { folder in
      try save("a.png", 32, 200, in: folder)
      try save("b.png", 33, 33, in: folder)
      try save("c.png", 64, 64, in: folder)
      try save("d.png", 48, 80, in: folder)
      func warnings(_ buckets: AspectBuckets, _ fitting: PictureFitting = .crop) throws -> [String] {
        try Concept(folder: folder, buckets: buckets, fitting: fitting).warnings
      }
      let square = try warnings(AspectBuckets(resolution: 64))
      #expect(square.count == 1)
      #expect(square.first?.contains("a.png (32 x 200), b.png (33 x 33), d.png (48 x 80);") == true)
      // 32 x 128 is a bucket, and so is 48 x 80.
      let buckets = try warnings(AspectBuckets(resolution: 64, step: 16))
      #expect(buckets.count == 1)
      #expect(buckets.first?.hasSuffix("b.png (33 x 33)") == true)
      #expect(try warnings(AspectBuckets(resolution: 8), .squash).isEmpty)
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
      let concept = try Concept(folder: folder, buckets: AspectBuckets(resolution: 8), fitting: .crop)
      #expect(
        concept.warnings == [
          "passed over a.json: not a PNG, JPEG or WebP picture", "passed over 1.txt: an empty caption",
          "passed over 2.txt: is no text in UTF-8; save it as such",
        ])
      #expect(concept.skipped.count == 3)
      #expect(concept.captions.map { $0?.lines } == [nil, nil] + Array(repeating: ["a toy", "a ball"], count: 7))
      let without = try Concept(folder: folder, buckets: AspectBuckets(resolution: 8), readsCaptions: false)
      #expect(without.captions.allSatisfy { $0 == nil })
      #expect(
        without.warnings.last
          == "passed over 1.txt, 2.txt, 3.txt, 4.txt, 5.txt and 4 more: captions are not read in this run")
    }
  }

  /// Over a color a transparent picture is Pillow's (Tools/reference/masks.py), at its own size; a line says so.
  @Test func transparentPartsLieOverAColor() throws {
    let fixture = try SafetensorsFile(Fixtures.url("masks.safetensors"))
    try TemporaryFolder.with { folder in
      for name in ["rgba.png", "rgb.png", "alpha.webp"] {
        try FileManager.default.copyItem(
          at: Fixtures.url("images/\(name)"), to: folder.appendingPathComponent(name))
      }
      // 23 x 17 pixels, so that the middle's 16 x 16 begin at (3, 0) of a square of 17.
      func concept(_ alpha: AlphaUse) throws -> Concept {
        try Concept(folder: folder, buckets: AspectBuckets(resolution: 17), alpha: alpha, cell: 17)
      }
      for (use, color) in [(AlphaUse.over(.white), "white"), (.over(Color(0x10, 0x40, 0x80)), "104080")] {
        let concept = try concept(use)
        let pixels = try fixture.integers("over.rgba.png.\(color)").values.map { UInt8($0) }
        let expected = Picture(width: 23, height: 17, pixels: pixels).cropped(x: 3, y: 0, width: 17, height: 17)
        #expect(concept.pictures[2].picture == expected)
        #expect(concept.pictures[2].weights == nil)
        #expect(concept.warnings.count == 1)
        #expect(concept.warnings[0].contains("learned as \(use.text): alpha.webp, rgba.png;"))
      }
      let ignored = try concept(.ignored)
      #expect(ignored.warnings.count == 1 && ignored.warnings[0].contains("alpha.webp, rgba.png;"))
      let rgb = try Picture(contentsOf: Fixtures.url("images/rgb.png")).cropped(x: 3, y: 0, width: 17, height: 17)
      #expect(ignored.pictures[2].picture == rgb && ignored.pictures[2].weights == nil)

      // One latent over the whole square: its weight is the square's mean alpha.
      let mask = try concept(.mask)
      #expect(mask.warnings.isEmpty)
      let alpha = try fixture.integers("alpha.rgba.png").values
      var sum = 0
      for y in 0..<17 { for x in 3..<20 { sum += Int(alpha[y * 23 + x]) } }
      let weight = try #require(mask.pictures[2].weights)
      #expect(weight.shape == [1, 1, 1] && abs(Double(weight.values[0]) - Double(sum) / 289 / 255) < 1e-6)
      #expect(mask.pictures[1].weights == nil)
    }
  }

  /// Weights are numpy's means of the mask over the part that is learned (Tools/reference/masks.py): of 40 x 24 pixels the middle
  /// 24 x 24, in 8 x 8 cells.
  @Test func masksBecomeWeights() throws {
    let fixture = try SafetensorsFile(Fixtures.url("masks.safetensors"))
    let grey = try fixture.integers("mask.soft").values.map { UInt8($0) }
    let expected = try fixture.tensor("means.soft.square")
    try TemporaryFolder.with { folder in
      let (pictures, masks) = (folder.appendingPathComponent("pictures"), folder.appendingPathComponent("masks"))
      for url in [pictures, masks] {
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
      }
      // An accent of its own in one name, a letter with an accent in the other.
      for name in ["a.png", "caf\u{E9}.png", "twice.png", "none.png", "black.png", "other.png"] {
        try save(name, 40, 24, in: pictures)
      }
      let mask = Picture(width: 40, height: 24, pixels: grey.flatMap { [$0, $0, $0] })
      for name in ["a.png", "cafe\u{301}.png", "lost.png"] {
        try mask.encodedPNG().write(to: masks.appendingPathComponent(name))
      }
      try mask.enlarged(2).encodedPNG().write(to: masks.appendingPathComponent("twice.png"))
      try save("black.png", 40, 24, in: masks, .black)
      try save("other.png", 10, 24, in: masks, .white)
      let concept = try Concept(
        folder: pictures, masks: masks, buckets: AspectBuckets(resolution: 24), cell: 3)
      #expect(
        concept.files.map(\.lastPathComponent) == ["a.png", "caf\u{E9}.png", "none.png", "other.png", "twice.png"])
      for index in [0, 1, 4] {
        let weights = try #require(concept.pictures[index].weights)
        #expect(weights.shape == [8, 8, 1])
        for (actual, expected) in zip(weights.values, expected.values) { #expect(abs(actual - expected) <= 1e-6) }
      }
      #expect(concept.pictures[2].weights == nil && concept.pictures[3].weights == nil)
      #expect(concept.masks.map { $0 != nil } == [true, true, false, true, true])
      #expect(
        concept.warnings == [
          "passed over black.png: its mask leaves nothing of it",
          "learned whole, without a mask of their name in \(masks.path): none.png",
          "masks of another shape than their pictures, stretched over them: other.png",
          "masks of no picture: lost.png",
        ])
      try Data("no mask".utf8).write(to: masks.appendingPathComponent("none.png"))
      let error = userError {
        _ = try Concept(folder: pictures, masks: masks, buckets: AspectBuckets(resolution: 24), cell: 3)
      }
      #expect(error?.kind == .badData && error?.message.contains("masks/none.png") == true)
      let missing = userError {
        _ = try Concept(
          folder: pictures, masks: folder.appendingPathComponent("no"), buckets: AspectBuckets(resolution: 24))
      }
      #expect(missing?.kind == .noInput)
    }
  }

  @Test func alphaIsReadAsItIsWritten() throws {
    for (text, use) in [
      ("mask", AlphaUse.mask), ("ignore", .ignored), ("white", .over(.white)), ("black", .over(.black)),
      ("grey", .over(Color(128, 128, 128))), ("#0a10ff", .over(Color(10, 16, 255))), ("#000102", .over(Color(0, 1, 2))),
    ] {
      #expect(AlphaUse(text) == use && use.text == text)
      #expect(try JSONDecoder().decode([AlphaUse].self, from: JSONEncoder().encode([use])) == [use])
    }
    #expect(AlphaUse("#FFFFFF") == .over(.white) && AlphaUse("GRAY") == AlphaUse("grey"))
    for text in ["", "#", "#12345", "#1234567", "#+12345", "123456", "purple"] {
      #expect(AlphaUse(text) == nil, "\(text)")
    }
    #expect(throws: UserError.self) { try JSONDecoder().decode([AlphaUse].self, from: Data(#"["purple"]"#.utf8)) }
  }

  @Test func saysWhatHadToBeDoneWithFiles() throws {
    try TemporaryFolder.with { folder in
      for name in [
        "rgb16.png", "grey16.png", "cmyk.jpg", "orientation-1.jpg", "orientation-3.jpg", "orientation-6.webp",
      ] {
        try FileManager.default.copyItem(
          at: Fixtures.url("images/\(name)"), to: folder.appendingPathComponent(name))
      }
      let warnings = try Concept(folder: folder, buckets: AspectBuckets(resolution: 16)).warnings
      #expect(
        warnings.map { $0.split(separator: ": ").last.map(String.init) } == [
          "orientation-3.jpg, orientation-6.webp", "cmyk.jpg", "grey16.png, rgb16.png",
        ])
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
