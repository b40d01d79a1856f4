import DemoModel
import Foundation
import Images
import ModelFiles
import StableDiffusion
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// What is said before a run. Likeness is held against numpy's numbers on the example concepts; when a warning comes is held against
/// pictures that are drawn here, alike and different.
@Suite struct PreflightTests {
  private func likenesses(_ pictures: [Picture]) -> [PictureLikeness] { pictures.map(PictureLikeness.init) }

  @Test func likenessIsThatOfTheEquations() throws {
    let fixture = try SafetensorsFile(Fixtures.url("likeness.safetensors"))
    let pictures = try DemoConcept.allCases.map(\.rawValue).sorted().flatMap { name in
      try (1...5).map {
        try Picture(contentsOf: DemoModel.concepts.appendingPathComponent("\(name)/\($0).png"))
      }
    }
    let all = likenesses(pictures)
    let correlation = try fixture.tensor("correlation").values
    let ground = try fixture.tensor("ground").values
    let outline = try fixture.tensor("outline").values
    for (i, a) in all.enumerated() {
      for (j, b) in all.enumerated() {
        let place = i * all.count + j
        #expect(abs(a.correlation(b) - Double(correlation[place])) < 1e-6, "\(i) \(j)")
        #expect(abs(a.groundDistance(b).mean - Double(ground[place * 2])) < 1e-4, "\(i) \(j)")
        #expect(abs(a.groundDistance(b).places - Double(ground[place * 2 + 1])) < 1e-4, "\(i) \(j)")
        #expect(abs(a.outlineCorrelation(b) - Double(outline[place])) < 1e-6, "\(i) \(j)")
      }
    }
  }

  /// A square of one colour on a ground that grows lighter downwards, `x` and `y` its middle.
  private func square(
    _ ground: (Int, Int, Int), x: Double = 0.5, y: Double = 0.5, color: (Int, Int, Int) = (220, 120, 20),
    side: Int = 96,
    isRound: Bool = false
  ) -> Picture {
    var pixels: [UInt8] = []
    for row in 0..<side {
      for column in 0..<side {
        let (dx, dy) = (Double(column) / Double(side) - x, Double(row) / Double(side) - y)
        let isInside = isRound ? dx * dx + dy * dy < 0.06 : abs(dx) < 0.2 && abs(dy) < 0.2
        let light = 20 * row / side
        let (r, g, b) = isInside ? color : (ground.0 + light, ground.1 + light, ground.2 + light)
        pixels += [r, g, b].map { UInt8(min(255, $0)) }
      }
    }
    return Picture(width: side, height: side, pixels: pixels)
  }

  /// The same at another size, a bit brighter and mirrored; not the square elsewhere, nor on another ground.
  @Test func nearDuplicatesAreNamed() {
    let first = square((40, 90, 200), x: 0.4)
    let bright = Picture(width: 96, height: 96, pixels: first.pixels.map { UInt8(min(255, Int($0) + 15)) })
    let others = [square((40, 90, 200), x: 0.62), square((200, 40, 40), x: 0.4)]
    let names = ["a", "b", "c", "d", "e", "f"]
    let lines = PreflightWarnings.duplicates(
      likenesses([first, first.resized(width: 48, height: 48), bright, first.flipped] + others), names)
    #expect(lines.count == 1 && lines[0].contains("a, b, c, d;"))
    #expect(PreflightWarnings.duplicates(likenesses([first] + others), names).isEmpty)
    let white = Picture(width: 8, height: 8, color: .white)
    #expect(
      PreflightWarnings.duplicates(likenesses([white, Picture(width: 9, height: 9, color: .black)]), names).isEmpty)
    #expect(!PreflightWarnings.duplicates(likenesses([white, white]), names).isEmpty)
  }

  @Test func oneGroundIsNamed() {
    let places = [(0.35, 0.4), (0.6, 0.5), (0.5, 0.65)]
    let same = places.map { square((40, 90, 200), x: $0.0, y: $0.1) }
    for kind in [ConceptKind.object, .subject] {
      #expect(PreflightWarnings.sameEverywhere(kind, likenesses(same)).first?.contains("same ground") == true)
      #expect(PreflightWarnings.sameEverywhere(kind, likenesses(same + [square((90, 140, 60))])).isEmpty)
      #expect(PreflightWarnings.sameEverywhere(kind, likenesses(Array(same.prefix(2)))).isEmpty)
    }
  }

  /// Of a style it is the thing that may not always be the same, wherever it stands and whatever its colours; the demo's style shows
  /// many.
  @Test func oneThingInAStyleIsNamed() throws {
    let grounds = [(40, 90, 200), (200, 40, 40), (230, 230, 220), (10, 10, 10)]
    let same = grounds.enumerated().map { index, ground in
      square(ground, x: 0.4 + 0.05 * Double(index), color: (60 * index, 200, 128))
    }
    #expect(PreflightWarnings.sameEverywhere(.style, likenesses(same)).first?.contains("same outline") == true)
    let style = try (1...5).map {
      try Picture(contentsOf: DemoConcept.lineStyle.folder.appendingPathComponent("\($0).png"))
    }
    #expect(PreflightWarnings.sameEverywhere(.style, likenesses(style)).isEmpty)
  }

  @Test func aWordWithinOthersIsNamed() throws {
    let tokenizer = try CLIPTokenizer.builtIn()
    for word in ["<toy>", "<my-cat>"] { #expect(PreflightWarnings.word(word, tokenizer).isEmpty, "\(word)") }
    // "the" is in thousands of words; "zorblax" in none.
    #expect(PreflightWarnings.word("the", tokenizer).first?.contains("found within other words") == true)
    #expect(PreflightWarnings.word("zorblax", tokenizer).isEmpty)
    #expect(PreflightWarnings.word("<toy:1>", tokenizer).first?.contains("':'") == true)
  }

  @Test func anInitializerOfPiecesIsNamed() throws {
    let tokenizer = try CLIPTokenizer.builtIn()
    #expect(PreflightWarnings.initializer("striped cat", tokenizer).isEmpty)
    let lines = PreflightWarnings.initializer("cat qzxv", tokenizer)
    #expect(lines.count == 1 && lines[0].hasPrefix("'qzxv'"))
  }

  @Test func fewAndManyPicturesAreNamed() throws {
    func lines(_ count: Int, _ kind: ConceptKind = .object) -> [String] { PreflightWarnings.count(kind, count) }
    for count in [0, 3, 10, 30] { #expect(lines(count).isEmpty) }
    #expect(lines(1).first?.hasPrefix("one picture") == true)
    #expect(lines(2).first?.hasPrefix("two pictures") == true)
    #expect(lines(31).first?.hasPrefix("31 pictures") == true)
    #expect(lines(31, .style).isEmpty)
  }

  @Test func captionsThatDifferOrAllSayTheSameAreNamed() throws {
    func lines(_ captions: [String], _ kind: ConceptKind = .object) throws -> [String] {
      try TemporaryFolder.with { folder in
        for (index, caption) in captions.enumerated() {
          let name = folder.appendingPathComponent("\(index)")
          try Picture(width: 16, height: 16, color: .white).encodedPNG().write(to: name.appendingPathExtension("png"))
          if !caption.isEmpty { try Data(caption.utf8).write(to: name.appendingPathExtension("txt")) }
        }
        let word = Word(try Placeholder("<toy>", vectors: 4), initializer: "toy")
        let concept = try Concept(folder: folder, buckets: AspectBuckets(resolution: 16))
        return PreflightWarnings.captions(kind, of: word, concept.captions)
      }
    }
    #expect(try lines(["", "", ""]).isEmpty)
    #expect(try lines(["on a red background", "on a blue background", "on sand, sunny"]).isEmpty)
    #expect(
      try lines(["on sand, sunny", "on grass, Sunny", "sunny"]) == [
        "every caption says 'sunny': the word is never learned without it"
      ])
    #expect(try lines(["on sand, sunny", "on grass, sunny", ""]).isEmpty)
    #expect(
      try lines(["a <toy> on sand", "a toy on grass", "on a hill"]).first?.contains("not in 1.txt, 2.txt") == true)
    #expect(try lines(["a cat on sand", "two dogs", "a house"], .style).isEmpty)
    #expect(try lines(["a cat on sand", "a black cat", "cat, night"], .style).first?.contains("'cat'") == true)
  }
}
