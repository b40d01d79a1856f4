import Foundation
import Tensors
import TestSupport
import Testing

@testable import ModelFiles

/// Files that lie, one case each; the format's own description says what a sound file is.
@Suite struct HostileSafetensorsTests {
  /// The bytes of a file with this header and so many bytes of data.
  private static func bytes(_ header: String, data: Int = 0, length: UInt64? = nil) -> Data {
    withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) { Data($0) } + Data(header.utf8)
      + Data(count: data)
  }

  private func error(_ data: Data) throws -> UserError? {
    var result: UserError?
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("hostile.safetensors")
      try data.write(to: url)
      result = userError { _ = try SafetensorsFile(url) }
    }
    return result
  }

  private static func tensor(_ type: String = "F32", _ shape: String = "[2]", _ offsets: String = "[0,8]") -> String {
    "{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}"
  }

  @Test func acceptsTheSoundFileThatTheCasesVary() throws {
    #expect(try error(Self.bytes("{\"a\":\(Self.tensor())}", data: 8)) == nil)
    #expect(try error(Self.bytes("{}")) == nil)
    #expect(
      try error(Self.bytes(" { \"a\" : { \"shape\" : [ 2 ] , \"data_offsets\":[0 ,8], \"dtype\":\"F32\"}}\n", data: 8))
        == nil)
  }

  /// Entries that no model has so many of would take a hundred times the file's size.
  @Test func endlessEntriesAreRefused() throws {
    let tensors = (0...100_000).map { "\"\($0)\":\(Self.tensor("F32", "[0]", "[0,0]"))" }.joined(separator: ",")
    #expect(try error(Self.bytes("{\(tensors)}"))?.message.contains("over 100000 tensors") == true)
    let strings = (0...100_000).map { "\"\($0)\":\"\"" }.joined(separator: ",")
    let metadata = "{\"__metadata__\":{\(strings)}}"
    #expect(try error(Self.bytes(metadata))?.message.contains("over 100000 strings") == true)
  }

  @Test(arguments: [
    // (what is wrong, header, bytes of data)
    ("no JSON", "", 0), ("not an object", "[1,2]", 0), ("not closed", "{\"a\":\(tensor())", 8),
    ("not closed in the middle", "{\"a\":{\"dtype\":\"F3", 8), ("something after the end", "{\"a\":\(tensor())}x", 8),
    ("a second object", "{}{}", 0), ("a comma too many", "{\"a\":\(tensor()),}", 8),
    ("a number as name", "{1:\(tensor())}", 8), ("no UTF-8 escape", "{\"\\ud800\":\(tensor())}", 8),
    ("half a pair", "{\"\\udc00\":\(tensor())}", 8), ("an unknown escape", "{\"\\x\":\(tensor())}", 8),
    ("a short escape", "{\"\\u12", 0), ("an escape at the end", "{\"\\", 0),
    ("a raw line break", "{\"a\nb\":\(tensor())}", 8),
    ("a string as tensor", "{\"a\":\"b\"}", 0), ("null as tensor", "{\"a\":null}", 0),
    ("no type", "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8),
    ("no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8),
    ("no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8),
    ("two shapes", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"shape\":[2],\"data_offsets\":[0,8]}}", 8),
    ("an unknown key", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8),
    ("an unknown type", "{\"a\":\(tensor("F99"))}", 8), ("a type in lower case", "{\"a\":\(tensor("f32"))}", 8),
    ("a negative axis", "{\"a\":\(tensor("F32", "[-2]"))}", 8), ("a fraction", "{\"a\":\(tensor("F32", "[2.0]"))}", 8),
    ("an exponent", "{\"a\":\(tensor("F32", "[2e0]"))}", 8), ("a leading zero", "{\"a\":\(tensor("F32", "[02]"))}", 8),
    ("an axis as string", "{\"a\":\(tensor("F32", "[\"2\"]"))}", 8),
    ("an axis beyond 64 bits", "{\"a\":\(tensor("F32", "[18446744073709551618]"))}", 8),
    ("a product beyond 64 bits", "{\"a\":\(tensor("F32", "[4294967296,4294967296]", "[0,0]"))}", 0),
    ("a product beyond 64 bits with a zero", "{\"a\":\(tensor("F32", "[0,4294967296,4294967296]", "[0,0]"))}", 0),
    ("bytes beyond 64 bits", "{\"a\":\(tensor("F32", "[4611686018427387904]", "[0,0]"))}", 0),
    ("a shape for other bytes", "{\"a\":\(tensor("F32", "[3]"))}", 8),
    ("a type for other bytes", "{\"a\":\(tensor("F16"))}", 8),
    ("one offset", "{\"a\":\(tensor("F32", "[2]", "[8]"))}", 8),
    ("three offsets", "{\"a\":\(tensor("F32", "[2]", "[0,8,8]"))}", 8),
    ("an end before the start", "{\"a\":\(tensor("F32", "[2]", "[8,0]"))}", 8),
    ("data that is cut short", "{\"a\":\(tensor())}", 7), ("data that is missing", "{\"a\":\(tensor())}", 0),
    ("an offset at the far end", "{\"a\":\(tensor("U8", "[0]", "[9223372036854775807,9223372036854775807]"))}", 0),
    ("data that nobody owns", "{\"a\":\(tensor())}", 9), ("a gap", "{\"a\":\(tensor("F32", "[2]", "[4,12]"))}", 12),
    ("an overlap", "{\"a\":\(tensor()),\"b\":\(tensor("F32", "[2]", "[4,12]"))}", 12),
    ("the same bytes twice", "{\"a\":\(tensor()),\"b\":\(tensor())}", 8),
    ("the same name twice", "{\"a\":\(tensor()),\"a\":\(tensor("F32", "[2]", "[8,16]"))}", 16),
    ("the same name in other letters", "{\"a\":\(tensor()),\"\\u0061\":\(tensor("F32", "[2]", "[8,16]"))}", 16),
    ("a number in the metadata", "{\"__metadata__\":{\"a\":1}}", 0),
    ("a list as metadata", "{\"__metadata__\":[]}", 0),
    ("the metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0),
    ("the same metadata twice", "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0),
    ("depth", String(repeating: "{\"a\":", count: 100_000), 0),
    ("a deep list", "{\"a\":{\"shape\":" + String(repeating: "[", count: 100_000), 0),
    ("a shape of many axes", "{\"a\":\(tensor("F32", "[1" + String(repeating: ",1", count: 64) + "]", "[0,4]"))}", 4),
  ])
  func refusesAHeader(with fault: String, header: String, data: Int) throws {
    let error = try error(Self.bytes(header, data: data))
    #expect(error?.kind == .badData, "\(fault)")
    #expect(error?.message.contains("hostile.safetensors") == true)
  }

  @Test(arguments: [
    ("nothing", Data()), ("seven bytes", Data(count: 7)), ("a length and no header", bytes("", length: 2)),
    ("a length of 64 ones", bytes("{}", length: .max)), ("a length with the top bit", bytes("{}", length: 1 << 63)),
    ("a length over the format's limit", bytes("{}", length: 100_000_001)),
    ("a length one too many", bytes("{}", length: 3)), ("text that is not UTF-8", bytes("{\"") + Data([0xFF, 0x22])),
    ("a zipped pickle", Data([0x50, 0x4B, 3, 4, 0, 0, 0, 0, 0])),
    ("a pickle", Data([0x80, 2, 0x7D, 0x71, 0, 0, 0, 0, 0])),
  ])
  func refusesAFile(of kind: String, data: Data) throws {
    #expect(try error(data)?.kind == .badData, "\(kind)")
  }

  @Test func saysWhatIsNoFile() throws {
    try TemporaryFolder.with { folder in
      let missing = folder.appendingPathComponent("nowhere.safetensors")
      #expect(userError { _ = try SafetensorsFile(missing) }?.kind == .noInput)
      #expect(userError { _ = try SafetensorsFile(folder) }?.kind == .noInput)
      #expect(userError { _ = try SafetensorsFile(URL(fileURLWithPath: "/dev/zero")) }?.kind == .noInput)
      let inFile = folder.appendingPathComponent("a")
      try Data().write(to: inFile)
      #expect(userError { _ = try SafetensorsFile(inFile.appendingPathComponent("b")) }?.kind == .noInput)
    }
  }

  @Test func refusesATensorBeyondMemory() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("holes.safetensors")
      let size = 1 << 42
      let header = Self.bytes("{\"a\":\(Self.tensor("F32", "[\(size / 4)]", "[0,\(size)]"))}")
      try header.write(to: url)
      try #require(truncate(url.path, off_t(header.count + size)) == 0)
      #expect(userError { _ = try SafetensorsFile(url).tensor("a") }?.kind == .badData)
    }
  }

  @Test func noticesAFileThatShrinksWhileItIsOpen() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("x.safetensors")
      try Safetensors.write([("x", HostTensor(repeating: 1, [1000]))], to: url)
      let file = try SafetensorsFile(url)
      try #require(truncate(url.path, 500) == 0)
      #expect(userError { _ = try file.tensor("x") }?.kind == .badData)
    }
  }

  /// Whatever bytes are wrong, opening and reading ends in tensors or in a `UserError`.
  @Test func survivesDamage() throws {
    let sound = try Data(contentsOf: Fixtures.url("safetensors/types.safetensors"))
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("damaged.safetensors")
      for trial in 0..<1000 {
        let random = Philox(seed: 1, stream: 2, step: UInt32(trial))
        var damaged = sound
        for flip in 0..<(1 + random.integer(below: 3, at: 0)) {
          // Mostly the header: the data may hold anything.
          let place = random.integer(below: 840, at: 3 * flip + 1)
          // A byte of the file's own makes errors that reach deeper than random bits do.
          damaged[place] =
            random.integer(below: 2, at: 3 * flip + 2) == 0
            ? damaged[place] ^ UInt8(1 << random.integer(below: 8, at: 3 * flip + 3))
            : sound[random.integer(below: sound.count, at: 3 * flip + 3)]
        }
        if trial % 10 == 0 { damaged.removeLast(random.integer(below: sound.count, at: 99)) }
        try damaged.write(to: url)
        _ = userError {
          let file = try SafetensorsFile(url)
          for name in file.names {
            _ = userError { _ = try file.tensor(name) }
            _ = userError { _ = try file.integers(name) }
          }
        }
      }
    }
  }
}
