import Testing

@testable import Tensors

@Suite struct ShapeTests {
  /// A caller may say anything: what has no elements that can be counted is held by no memory and filled by no values.
  @Test(arguments: [
    [1 << 62, 4], [Int.max, 2], [1 << 32, 1 << 32], [-1], [2, -3], [-1, -1], [0, -1], [Int.min, 2], [1 << 62, 4, 0],
  ])
  func whatCantBeCountedIsMoreThanAnything(dimensions: [Int]) {
    let shape = Shape(dimensions)
    #expect(shape.count == .max && shape.byteCount(.float16) == .max)
    #expect(throws: UserError.self) { try HostTensor(shape: shape, values: [1, 2, 3]) }
  }

  @Test func whatCanBeCountedIsTheProduct() throws {
    #expect(Shape([]).count == 1 && Shape([3, 0, 5]).count == 0 && Shape([2, 3, 4]).count == 24)
    #expect(Shape([2, 3, 4]).rows == 6 && Shape([2, 3, 4]).byteCount(.float32) == 96)
    #expect(Shape([1 << 31, 1 << 31]).count == 1 << 62)
    #expect(try HostTensor(shape: [2, 2], values: [1, 2, 3, 4]).values == [1, 2, 3, 4])
    #expect(throws: UserError.self) { try HostTensor(shape: [2, 2], values: [1, 2, 3]) }
  }
}

@Suite struct PhiloxTests {
  /// The known answers that ship with the authors' Random123 library (kat_vectors, philox4x32 10).
  @Test(arguments: [
    (
      SIMD4<UInt32>(repeating: 0), SIMD2<UInt32>(repeating: 0),
      SIMD4<UInt32>(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)
    ),
    (
      SIMD4<UInt32>(repeating: .max), SIMD2<UInt32>(repeating: .max),
      SIMD4<UInt32>(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)
    ),
    (
      SIMD4<UInt32>(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), SIMD2<UInt32>(0xa409_3822, 0x299f_31d0),
      SIMD4<UInt32>(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)
    ),
  ])
  func knownAnswers(counter: SIMD4<UInt32>, key: SIMD2<UInt32>, expected: SIMD4<UInt32>) {
    #expect(Philox.rounds(counter: counter, key: key) == expected)
  }

  @Test func normalsAreStandardNormal() {
    let draws = Philox(seed: 1, stream: 2, step: 3).normals(100_001).map(Double.init)
    let mean = draws.reduce(0, +) / Double(draws.count)
    let variance = draws.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(draws.count)
    // Four standard errors.
    #expect(abs(mean) < 4 / Double(draws.count).squareRoot())
    #expect(abs(variance - 1) < 4 * (2 / Double(draws.count)).squareRoot())
  }

  @Test func aPermutationHoldsEveryNumberOnce() {
    #expect(Philox(seed: 9, stream: 1).permutation(50).sorted() == Array(0..<50))
  }
}

@Suite struct HostTensorTests {
  @Test func transposingMovesEveryElement() {
    let tensor = HostTensor([2, 3, 4], (0..<24).map(Float.init))
    let moved = tensor.transposed([2, 0, 1])
    #expect(moved.shape == [4, 2, 3])
    for i in 0..<2 {
      for j in 0..<3 {
        for k in 0..<4 { #expect(moved.values[(k * 2 + i) * 3 + j] == tensor.values[(i * 3 + j) * 4 + k]) }
      }
    }
  }
}
