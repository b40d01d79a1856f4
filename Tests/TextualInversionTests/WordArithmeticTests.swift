import Foundation
import ModelFiles
import TestSupport
import Tensors
import Testing
import TextualInversion

/// Words as things. Blends are held against SciPy's `geometric_slerp`, all else against its definition.
@Suite struct WordArithmeticTests {
  private func word(_ name: String, _ rows: [[Float]], second: [[Float]]? = nil) -> EmbeddingFile {
    func tensor(_ rows: [[Float]]) -> HostTensor { HostTensor([rows.count, rows[0].count], rows.flatMap { $0 }) }
    var components = [Component.textEncoder: tensor(rows)]
    components[.textEncoder2] = second.map(tensor)
    return EmbeddingFile(word: name, rows: components)
  }

  @Test func blendsAreSciPys() throws {
    let fixture = try SafetensorsFile(Fixtures.url("blends.safetensors"))
    let (a, b) = (try fixture.tensor("a"), try fixture.tensor("b"))
    let between = try fixture.tensor("between")
    let one = EmbeddingFile(word: "a", rows: [.textEncoder: a]),
      other = EmbeddingFile(word: "b", rows: [.textEncoder: b])
    let size = a.shape.count
    for (index, weight) in try fixture.tensor("weights").values.enumerated() {
      // The weights are stored as floats, and .7 is none.
      let blend = try one.blended(with: other, weight: (Double(weight) * 100).rounded() / 100)
      #expect(blend.word == "a")
      let rows = try #require(blend.rows[.textEncoder])
      for row in 0..<8 {
        let expected = between.values[index * size + row * 96..<index * size + (row + 1) * 96]
        let length = expected.reduce(0) { $0 + $1 * $1 }.squareRoot()
        for (value, expected) in zip(rows.values[row * 96..<(row + 1) * 96], expected) {
          #expect(abs(value - expected) <= 1e-6 * length, "row \(row) at \(weight)")
        }
      }
    }
  }

  /// A quarter turn, halfway: 45 degrees, of a length between 1 and 3.
  @Test func halfAQuarterTurnIsKnown() throws {
    let blend = try word("a", [[1, 0]], second: [[0, 2, 0]]).blended(
      with: word("b", [[0, 3]], second: [[0, 0, 2]]), weight: 0.5)
    let half = Float(0.5.squareRoot())
    for (value, expected) in zip(blend.rows[.textEncoder]?.values ?? [], [2 * half, 2 * half]) {
      #expect(abs(value - expected) < 1e-6)
    }
    for (value, expected) in zip(blend.rows[.textEncoder2]?.values ?? [], [0, 2 * half, 2 * half]) {
      #expect(abs(value - expected) < 1e-6)
    }
  }

  @Test func whatCannotBeBlendedIsRefused() throws {
    let a = word("a", [[1, 0]])
    for (other, weight, hint) in [
      (word("b", [[-2, 0]]), 0.5, "opposite"), (word("b", [[0, 0]]), 0.5, "no length"),
      (word("b", [[1, 0], [0, 1]]), 0.5, "1 and 2 vectors"), (word("b", [[1, 0, 0]]), 0.5, "2 and 3 wide"),
      (word("b", [[0, 1]], second: [[0, 1]]), 0.5, "different text encoders"), (word("b", [[0, 1]]), 1.5, "no share"),
      (word("b", [[0, 1]]), .nan, "no share"),
    ] {
      let error = userError { _ = try a.blended(with: other, weight: weight) }
      #expect(error?.kind == .usage && error?.message.contains(hint) == true, "\(error?.message ?? hint)")
    }
  }

  @Test func rowsAreScaled() throws {
    let toy = word("a", [[3, 4], [0, 0.5]], second: [[1, 0, 0], [0, 2, 0]])
    #expect(try toy.scaled(by: 0.5).rows[.textEncoder]?.values == [1.5, 2, 0, 0.25])
    let scaled = try toy.scaled(toLength: [.textEncoder: 10])
    #expect(
      scaled.rows[.textEncoder]?.values == [6, 8, 0, 10] && scaled.rows[.textEncoder2] == toy.rows[.textEncoder2])
    for factor in [0, -1, .nan, .infinity, 1e39] {
      #expect(userError { _ = try toy.scaled(by: factor) }?.kind == .usage, "\(factor)")
    }
    #expect(userError { _ = try word("a", [[0, 0]]).scaled(toLength: [.textEncoder: 1]) }?.kind == .badData)
  }

  @Test func anglesAreThoseOfTheDefinition() throws {
    let rows = try #require(
      word("a", [[2, 0], [1, 1]]).comparison(with: word("b", [[0, 3], [-1, 0], [0, 0]])).first)
    #expect(rows.lengths.map { ($0 * 1e6).rounded() } == [2e6, 1_414_214])
    #expect(rows.otherLengths == [3, 1, 0])
    let half = 0.5.squareRoot()
    for (row, expected) in zip(rows.cosines, [[0, -1, 0], [half, -half, 0]]) {
      for (cosine, expected) in zip(row, expected) { #expect(abs(cosine - expected) < 1e-12) }
    }
    for (angle, expected) in zip(rows.angles.joined(), [90, 180, 90, 45, 135, 90.0]) {
      #expect(abs(angle - expected) < 1e-9)
    }
    #expect(word("a", [[1, 0]]).comparison(with: word("b", [[1, 0, 0]])).isEmpty)
  }
}
