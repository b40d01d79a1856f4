import Foundation
import Tensors
import TestSupport
import Testing

@testable import ModelFiles

/// Against files that the format's own library and PyTorch wrote: Tools/reference/make_safetensors.py.
@Suite struct SafetensorsTests {
  private func file(_ name: String) throws -> SafetensorsFile {
    try SafetensorsFile(Fixtures.url("safetensors/\(name).safetensors"))
  }

  @Test func readsEveryFloatType() throws {
    let expected: [Float] = [0, -0.0, 1, -1.5, 0.15625, 256, -65280, .infinity, 0x1p-14, -0x1p-20]
    let file = try file("types")
    for name in ["F64", "F32", "F16", "BF16"] {
      let tensor = try file.tensor(name, mustBeFinite: false)
      #expect(tensor.shape == [10])
      #expect(tensor.values.map(\.bitPattern) == expected.map(\.bitPattern), "\(name)")
      #expect(file.typeName(of: name) == name)
    }
  }

  @Test func readsEveryIntegerType() throws {
    let file = try file("types")
    #expect(try file.integers("I64").values == [.min, -1, 0, 1, .max])
    #expect(try file.integers("I32").values == [Int64(Int32.min), -1, 0, 1, Int64(Int32.max)])
    #expect(try file.integers("I16").values == [Int64(Int16.min), -1, 0, 1, Int64(Int16.max)])
    #expect(try file.integers("I8").values == [-128, -1, 0, 1, 127])
    #expect(try file.integers("U8").values == [0, 1, 127, 128, 255])
    #expect(try file.integers("BOOL").values == [0, 0, 1, 1, 1])
    #expect(try file.integers("BOOL").shape == [5])
  }

  @Test func refusesATypeThatIsNotAskedFor() throws {
    let file = try file("types")
    #expect(userError { _ = try file.tensor("I32") }?.kind == .badData)
    #expect(userError { _ = try file.integers("F32") }?.kind == .badData)
    #expect(userError { _ = try file.tensor("nowhere") }?.message.contains("'nowhere'") == true)
  }

  /// Every one of the 65536 halves, against the compiler's own conversion.
  @Test func convertsEveryHalf() throws {
    let words = (0...UInt16.max).map { $0 }
    var values = [Float](repeating: 0, count: words.count)
    words.withUnsafeBytes { source in
      values.withUnsafeMutableBufferPointer { convertFloat16(source, $0) }
    }
    #if !(os(macOS) && arch(x86_64))
      for (word, value) in zip(words, values) {
        let expected = Float(Float16(bitPattern: word))
        #expect(value == expected || (value.isNaN && expected.isNaN), "\(String(word, radix: 16))")
        #expect(value.sign == expected.sign)
      }
    #endif
    for (word, value) in zip(words, values) where !value.isNaN { #expect(float16Bits(value) == word) }
  }

  @Test func roundsAsPyTorchDoes() throws {
    let file = try file("rounding")
    let values = try file.tensor("values", mustBeFinite: false).values
    for (name, type) in [("f16", ElementType.float16), ("bf16", .bfloat16)] {
      let expected = try file.tensor(name, mustBeFinite: false).values
      try TemporaryFolder.with { folder in
        let url = folder.appendingPathComponent("x.safetensors")
        try Safetensors.write([("x", HostTensor([values.count], values))], type: type, to: url)
        #expect(try SafetensorsFile(url).tensor("x", mustBeFinite: false).values == expected, "\(name)")
      }
    }
  }

  @Test func writesAnEmbeddingByteForByte() throws {
    let url = Fixtures.url("safetensors/embedding.safetensors")
    let file = try SafetensorsFile(url)
    #expect(file.metadata == ["format": "pt"])
    #expect(file.names == ["<toy>"])
    let rows = try file.tensor("<toy>")
    #expect(rows.shape == [2, 5])
    #expect(rows.values[0] == Float(-4) / 3)
    #expect(try Data(contentsOf: url) == Safetensors.encode([("<toy>", rows)]))
  }

  @Test func writesNamesInTheLibrarysOrderAndEscapes() throws {
    let url = Fixtures.url("safetensors/names.safetensors")
    let file = try SafetensorsFile(url)
    #expect(file.names.contains("tab\tnew\nline\u{1}") && file.names.contains("𝕏"))
    #expect(file.shape(of: "scalar") == [] && file.shape(of: "zero") == [3, 0])
    #expect(try file.tensor("zero").values.isEmpty)
    var tensors: [(name: String, tensor: HostTensor)] = []
    for name in file.names.reversed() { tensors.append((name, try file.tensor(name))) }
    let bytes = try Data(contentsOf: url)
    #expect(bytes == Safetensors.encode(tensors))
    try TemporaryFolder.with { folder in
      let copy = folder.appendingPathComponent("copy.safetensors")
      let byName = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.tensor) })
      try Safetensors.write(shapes: tensors.map { ($0.name, $0.tensor.shape) }, to: copy) {
        (name, _) throws(UserError) in
        byName[name]!
      }
      #expect(try Data(contentsOf: copy) == bytes)
    }
  }

  /// Longer than the pieces that a tensor is read in.
  @Test(arguments: ElementType.allCases) func survivesARoundTrip(type: ElementType) throws {
    let count = 3 << 17 + 5
    // Small whole numbers: exact in every type.
    let tensor = HostTensor([count / 2, 2], (0..<count / 2 * 2).map { Float($0 % 251 - 125) })
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("x.safetensors")
      try Safetensors.write([("x", tensor)], metadata: ["note": "\"é\n"], type: type, to: url)
      let file = try SafetensorsFile(url)
      #expect(file.metadata == ["note": "\"é\n"])
      #expect(try file.tensor("x") == tensor)
    }
  }
}
