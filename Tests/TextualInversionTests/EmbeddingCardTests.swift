import Foundation
import Images
import ModelFiles
import Tensors
import TestSupport
import Testing

@testable import TextualInversion

/// Cards that want to hang, to fill the memory or to be believed.
@Suite struct EmbeddingCardTests {
  private func card(_ text: Data) throws -> Data {
    try Picture(width: 8, height: 8, color: .white).encodedPNG(text: [
      EmbeddingCard.keyword: String(decoding: text.base64EncodedData(), as: UTF8.self)
    ])
  }

  private static func chunk(_ kind: String, _ content: Data) -> Data {
    func bigEndian(_ number: UInt32) -> Data { withUnsafeBytes(of: number.bigEndian) { Data($0) } }
    let checked = Data(kind.utf8) + content
    return bigEndian(UInt32(content.count)) + checked + bigEndian(checked.withUnsafeBytes { CRC32.iso.checksum($0) })
  }

  @Test(arguments: [
    ("[]", "no '{'"), ("{", "no '\"'"),
    (#"{"string_to_param":{"*":{"TORCHTENSOR":[[1,2],[3]]}}}"#, "different lengths"),
    (#"{"string_to_param":{"*":{"TORCHTENSOR":[[[1]]]}}}"#, "no number"),
    (#"{"string_to_param":{"*":{"TORCHTENSOR":[1e]}}}"#, "no number"),
    (#"{"\#(String(repeating: "a", count: 1000))":{"b":1}}"#, "too long"),
    (#"{\#((0..<2000).map { #""\#($0)":1"# }.joined(separator: ","))}"#, "too many"),
    (#"{"string_to_param":{"*":{"TORCHTENSOR":5}}}"#, "no '['"),
    (#"{"a":\#(String(repeating: "[", count: 100_000))"#, "brackets"),
    (#"{"a":\#(String(repeating: #"{"a":"#, count: 100_000))"#, "brackets"), (#"{"a":nul}"#, "unknown word"),
  ])
  func jsonThatIsNotSoundIsRefused(_ json: String, _ says: String) throws {
    let error = userError { _ = try EmbeddingCard(try card(Data(json.utf8))) }
    #expect(error?.kind == .badData && error?.message.contains(says) == true, "\(error?.message ?? "nothing")")
  }

  @Test func textsOutsideLimitsAreRefused() throws {
    let long = Data(repeating: UInt8(ascii: " "), count: EmbeddingCard.textLimit + 64)
    #expect(userError { _ = try EmbeddingCard(try card(long)) }?.kind == .badData)
    let png = try Picture(width: 8, height: 8, color: .white).encodedPNG(text: [EmbeddingCard.keyword: "###"])
    #expect(userError { _ = try EmbeddingCard(png) }?.kind == .badData)
    let large = try Picture(width: 4097, height: 4096, color: .white).encodedPNG()
    #expect(userError { _ = try EmbeddingCard(large) }?.kind == .badData)
  }

  /// Strips whose few bytes unpack to more than any word takes, and a compressed text chunk that does.
  @Test func bombsAreRefused() throws {
    let bomb = try Zlib.deflate(Data(repeating: UInt8(ascii: " "), count: EmbeddingCard.textLimit * 4))
    #expect(bomb.count < 1 << 16)
    let strips = CardStrips.drawn(bomb, beside: Picture(width: 64, height: 64, color: .white))
    #expect(try EmbeddingCard(strips.encodedPNG()) == nil)
    let plain = [UInt8](try Picture(width: 8, height: 8, color: .white).encodedPNG())
    let content = Data(EmbeddingCard.keyword.utf8) + [0, 0] + bomb
    let chunk = Self.chunk("zTXt", content)
    let png = Data(plain[..<33]) + chunk + Data(plain[33...])
    let error = userError { _ = try EmbeddingCard(png) }
    #expect(error?.message.contains("holds more than") == true, "\(error?.message ?? "nothing")")
  }

  /// Every byte changed in turn: read or refused, and never a trap.
  @Test(arguments: ["card-text.png", "card-ztxt.png", "card-pixels.png"]) func changedBytesDoNotTrap(_ name: String)
    throws
  {
    let data = try Data(contentsOf: Fixtures.url("embeddings/\(name)"))
    let draws = Philox(seed: 3, stream: 9)
    var read = 0
    for index in data.indices {
      var changed = data
      changed[index] = UInt8(draws.integer(below: 256, at: index))
      do throws(UserError) { if try EmbeddingCard(changed) != nil { read += 1 } } catch {
        #expect(error.kind == .badData)
      }
      do throws(UserError) { _ = try EmbeddingCard(data.prefix(index)) } catch { #expect(error.kind == .badData) }
    }
    // PNG's own checksums find nearly all of it.
    #expect(read < data.count)
  }

  /// A picture of any size and shade comes back with its word.
  @Test(arguments: [(64, 64), (200, 97), (512, 512)]) func picturesCarryWords(_ width: Int, _ height: Int) throws {
    let rows = HostTensor([3, 768], Philox(seed: 1, stream: 2).normals(3 * 768))
    for shade in [UInt8(0), 0x10, 255] {
      let picture = Picture(width: width, height: height, color: Color(shade, shade, shade))
      let png = try EmbeddingCard.encode(name: "<a>", rows: rows, texts: [:], on: picture)
      let card = try #require(try EmbeddingCard(png))
      #expect(card.tensors.map(\.tensor) == [rows] && card.texts["name"] == "<a>")
      // Without its text the strips alone say the same.
      let stripped = try #require(try EmbeddingCard(Picture(decoding: png).encodedPNG()))
      #expect(stripped.tensors.map(\.tensor) == [rows] && stripped.texts == card.texts)
    }
  }
}
