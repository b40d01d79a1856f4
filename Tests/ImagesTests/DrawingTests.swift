import Foundation
import Testing

@testable import Images

@Suite struct DrawingTests {
  private func color(_ picture: Picture, _ x: Int, _ y: Int) -> Color {
    let start = (y * picture.width + x) * 3
    return Color(picture.pixels[start], picture.pixels[start + 1], picture.pixels[start + 2])
  }

  /// The smallest box that holds every pixel of a color.
  private func box(of color: Color, in picture: Picture) -> (x: ClosedRange<Int>, y: ClosedRange<Int>, count: Int)? {
    var places: [(Int, Int)] = []
    for y in 0..<picture.height {
      for x in 0..<picture.width where self.color(picture, x, y) == color { places.append((x, y)) }
    }
    guard let left = places.map(\.0).min(), let right = places.map(\.0).max() else { return nil }
    guard let top = places.map(\.1).min(), let bottom = places.map(\.1).max() else { return nil }
    return (left...right, top...bottom, places.count)
  }

  /// Four pictures of one color each: every one is there whole, in its row and column, and nothing overlaps.
  @Test func sheetHoldsEveryPicture() throws {
    let colors = [Color(255, 0, 0), Color(0, 255, 0), Color(0, 0, 255), Color(255, 0, 255)]
    func picture(_ index: Int, _ side: Int) -> Picture { Picture(width: side, height: side, color: colors[index]) }
    let sheet = ContactSheet(
      title: "A title", columns: ["left", "right"],
      rows: [
        .init("a label that is much too long for one line", [picture(0, 16), picture(1, 16)]),
        .init("below", [picture(2, 16), picture(3, 200)], captions: ["", "large"]),
      ], side: 64
    ).picture
    let boxes = try colors.map { try #require(box(of: $0, in: sheet)) }
    for box in boxes { #expect(box.x.count == 64 && box.y.count == 64 && box.count == 64 * 64) }
    #expect(boxes[0].y == boxes[1].y && boxes[2].y == boxes[3].y)
    #expect(boxes[0].x == boxes[2].x && boxes[1].x == boxes[3].x)
    #expect(boxes[0].x.upperBound < boxes[1].x.lowerBound && boxes[0].y.upperBound < boxes[2].y.lowerBound)
    // Something is written to the left of the first row, above it, and under the last picture.
    let ink = Color(40, 40, 40)
    let label = try #require(
      box(of: ink, in: sheet.cropped(x: 0, y: boxes[0].y.lowerBound, width: boxes[0].x.lowerBound, height: 64)))
    #expect(label.x.lowerBound >= 16 && label.x.upperBound < boxes[0].x.lowerBound - 4)
    #expect(box(of: ink, in: sheet.cropped(x: 0, y: 0, width: sheet.width, height: boxes[0].y.lowerBound)) != nil)
    let under = boxes[3].y.upperBound + 1
    #expect(box(of: ink, in: sheet.cropped(x: 0, y: under, width: sheet.width, height: sheet.height - under)) != nil)
    // The margin is white all round.
    for x in 0..<sheet.width { #expect(color(sheet, x, 3) == .white && color(sheet, x, sheet.height - 4) == .white) }
  }

  @Test func sheetsOfLittleOrNothingAreDrawn() {
    #expect(ContactSheet(rows: []).picture.width > 0)
    #expect(ContactSheet(columns: ["a", "b"], rows: [.init("", [])], side: 1).picture.width > 0)
    let strip = Picture(width: 1000, height: 1, color: .black)
    #expect(ContactSheet(rows: [.init("x", [strip], captions: ["a", "b"])], side: 100).picture.width < 400)
  }

  @Test func textIsBrokenWhereItMustBe() {
    for text in ["a photo of a <toy> on the beach at night", "onewordthatislongerthanthewholelineallbyitself", "", " "]
    {
      let lines = TextLayout.wrap(text, limit: 100, 2)
      #expect(lines.allSatisfy { TextLayout.width($0, 2) <= 100 && !$0.isEmpty })
      #expect(lines.joined().filter { $0 != " " } == text.filter { $0 != " " })
    }
    #expect(TextLayout.wrap("é", limit: 1, 2) == ["é"])
  }

  @Test func everyLetterLooksDifferent() {
    let characters = (32..<128).map { Character(Unicode.Scalar(UInt8($0))) }
    #expect(Set(characters.map { Glyphs.glyph($0).rows }).count == 96)
    #expect(characters.allSatisfy { Glyphs.glyph($0).width <= 5 && Glyphs.glyph($0).width > 0 })
    // Drawn from the left without a gap, and an L is a stroke with a foot.
    #expect(Glyphs.glyph("L").rows == [1, 1, 1, 1, 1, 1, 31, 0, 0])
    #expect(Glyphs.glyph("猫").rows == Glyphs.glyph("é").rows)
  }

  /// A curve that falls in a straight line runs from corner to corner, and its mean lies on it.
  @Test func chartFollowsItsPoints() throws {
    let chart = LineChart(title: "Loss", points: (0..<200).map { (Double($0), 2 - Double($0) / 199) }).picture
    #expect(chart.width == 960 && chart.height == 540)
    let line = try #require(box(of: Color(31, 95, 191), in: chart))
    #expect(line.x.count > 800 && line.y.count > 350)
    let middle = (line.x.lowerBound + line.x.upperBound) / 2
    let crossing = (0..<chart.height).filter { color(chart, middle, $0) == Color(31, 95, 191) }
    let center = try #require(crossing.first)
    #expect(abs(center - (line.y.lowerBound + line.y.upperBound) / 2) <= 2)
  }

  @Test func chartsOfLittleOrNothingAreDrawn() {
    for points in [
      [], [(1.0, 2.0)], [(1, 2), (1, 2)], [(1, .nan), (2, .infinity)], [(0, 0), (1, 0)], [(0, 1e29), (1, -1e29)],
    ] {
      #expect(LineChart(points: points, width: 200, height: 200).picture.width == 200)
    }
  }

  @Test(arguments: [
    (0.0, 1.0), (0.03, 0.05), (1, 20_000), (-3, 7), (0, 1e-9), (99, 100.5), (5, 5), (0, 0), (-1e12, 1e12),
  ])
  func axesAreMarkedAtRoundNumbers(low: Double, high: Double) throws {
    let axis = Axis([low, high], lines: 6)
    #expect((2...13).contains(axis.ticks.count), "\(axis.ticks)")
    #expect(axis.ticks.allSatisfy { axis.range.contains($0) })
    let step = axis.ticks[1] - axis.ticks[0]
    let digit = step / pow(10, floor(log10(step) + 1e-6))
    #expect([1, 2, 5].contains { abs(digit - $0) < 1e-3 }, "\(step)")
    #expect(Set(axis.ticks.map(axis.label)).count == axis.ticks.count)
  }
}
