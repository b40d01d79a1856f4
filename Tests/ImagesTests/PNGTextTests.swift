import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@testable import Images

/// Texts in PNG files, as Pillow writes them (Tools/reference/embedding_files.py), and damaged ones.
@Suite struct PNGTextTests {
  @Test(arguments: ["card-text.png", "card-ztxt.png", "card-itxt.png"]) func allKindsOfTextAreRead(_ name: String)
    throws
  {
    let data = try Data(contentsOf: Fixtures.url("embeddings/\(name)"))
    let text = try #require(try PNGText.text("sd-ti-embedding", in: data, limit: 1 << 20))
    let json = try #require(Data(base64Encoded: text))
    let object = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
    #expect(object["name"] as? String == "card")
    #expect(try PNGText.text("sd-ti", in: data, limit: 1 << 20) == nil)
    let short = userError { _ = try PNGText.text("sd-ti-embedding", in: data, limit: 10) }
    #expect(short?.kind == .badData)
    // Up to the text's end every cut is found; behind it nothing is looked at.
    for length in 0..<200 {
      #expect(userError { _ = try PNGText.text("sd-ti-embedding", in: data.prefix(length), limit: 1 << 20) } != nil)
    }
  }

  /// One bit of the text is wrong, and nothing else.
  @Test func checksumsAreChecked() throws {
    var data = try Data(contentsOf: Fixtures.url("embeddings/card-text.png"))
    let place = try #require(data.range(of: Data("sd-ti-embedding\0".utf8))).upperBound
    data[place] ^= 1
    let error = userError { _ = try PNGText.text("sd-ti-embedding", in: data, limit: 1 << 20) }
    #expect(error?.message.contains("checksum") == true, "\(error?.message ?? "nothing")")
  }

  @Test func zlibComesBack() throws {
    let data = Data((0..<100_000).map { UInt8(truncatingIfNeeded: $0 * $0) })
    let packed = try Zlib.deflate(data)
    #expect(try Zlib.inflate(packed, limit: data.count) == data)
    #expect(try Zlib.inflate(packed + Data([1, 2, 3]), limit: data.count) == data)
    #expect(try Zlib.inflate(Zlib.deflate(Data()), limit: 0) == Data())
    for (data, limit) in [
      (packed, data.count - 1), (packed.dropLast(), data.count), (Data([1, 2, 3]), 10), (Data(), 10),
    ] {
      #expect(userError { _ = try Zlib.inflate(data, limit: limit) }?.kind == .badData)
    }
  }

  /// The check value of CRC-32 that its catalogues give.
  @Test func theChecksumIsISO3309s() {
    #expect(Data("123456789".utf8).withUnsafeBytes { CRC32.iso.checksum($0) } == 0xCBF4_3926)
  }
}
