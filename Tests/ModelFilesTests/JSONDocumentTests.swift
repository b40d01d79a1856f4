import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite struct JSONDocumentTests {
  private struct Document: Decodable {
    var name: String?
    var sizes: [Int]?
    var epsilon: Double?
  }

  private static let sound = #"{"name": "unet", "sizes": [320, 640], "epsilon": 1e-05}"#

  /// Bytes and characters that are nowhere in a document, at every place of it: an error or a document, never the end of the
  /// process, which Foundation makes of some.
  @Test func bytesThatDontBelongAnywhere() throws {
    let strange: [[UInt8]] =
      [[0xFF], [0x80], [0xC3], [0xE2], [0xE2, 0x80], [0xF0], [0xF0, 0x9F], [0xED, 0xA0, 0x80], [0xC0, 0x80], [0]]
      + ["\u{A0}", "\u{2028}", "\u{FEFF}", "\u{1F600}", "\\", "'", "/", "/*", "//", "0x", "+", ".", "\u{B}"].map {
        Array($0.utf8)
      }
    let bytes = Array(Self.sound.utf8)
    for insert in strange {
      let isText = String(validating: insert, as: UTF8.self) != nil
      for place in 0...bytes.count {
        for rest in [bytes[place...], bytes[min(place + 1, bytes.count)...], []] {
          let error = userError { _ = try Document(json: Data(bytes[..<place] + insert + rest)) }
          if !isText { #expect(error?.kind == .badData) }
        }
      }
    }
  }

  @Test func errorsNameTheKeyOrTheNumber() throws {
    #expect(try Document(json: Data(Self.sound.utf8)).sizes == [320, 640])
    #expect(try Document(json: Data(#"{"epsilon": Infinity}"#.utf8)).epsilon == .infinity)
    for (json, key) in [
      (#"{"sizes": [1, "two"]}"#, "sizes"), (#"{"sizes": [1e308]}"#, "a number that is too large"),
      (#"{"name": 5}"#, "name"),
      (#"{"sizes": [9223372036854775808]}"#, "a number that is too large"), (#"{"epsilon": {}}"#, "epsilon"),
      (#"{"sizes": [0.5]}"#, "not whole"), (#"{"sizes": [1}"#, "not sound JSON"), ("", "not sound JSON"),
    ] {
      let error = userError { _ = try Document(json: Data(json.utf8)) }
      #expect(error?.kind == .badData && error?.message.contains(key) == true, "\(error?.message ?? "no error")")
    }
  }
}
