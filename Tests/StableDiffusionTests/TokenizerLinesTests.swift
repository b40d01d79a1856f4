import Foundation
import Testing

@testable import StableDiffusion

/// 10,000 lines of every kind of text against transformers' `CLIPTokenizer` with CLIP's whole vocabulary, by hashes of the
/// numbers that Tools/reference/tokenizer_lines.py wrote down.
@Suite struct TokenizerLinesTests {
  struct Reference: Decodable {
    let added: [String]
    let lines: [String]
    /// Each line's hash, without and with the added words.
    let plain: Data
    let withAdded: Data

    static func read() throws -> Reference {
      let file = TokenizerTests.tests.appendingPathComponent("Fixtures/tokenizer_lines.json")
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      return try decoder.decode(Reference.self, from: Data(contentsOf: file))
    }
  }

  enum Form: CaseIterable { case builtIn, separateFiles, combinedFile }

  /// CLIP's tokenizer in each of its forms.
  static func tokenizer(_ form: Form, in folder: URL) throws -> CLIPTokenizer {
    let text = try String(contentsOf: TokenizerTests.mergesFile, encoding: .utf8)
    let merges = try TokenizerFiles.merges(text, at: [])
    let vocabulary = BytePairEncoding.vocabulary(merges: merges)
    switch form {
    case .builtIn: return try CLIPTokenizer.builtIn()
    case .separateFiles:
      try JSONEncoder().encode(vocabulary).write(to: folder.appendingPathComponent("vocab.json"))
      try Data(text.utf8).write(to: folder.appendingPathComponent("merges.txt"))
    case .combinedFile:
      // The demo's, as transformers wrote it, with CLIP's table in place of its own.
      let demo = TokenizerTests.demoFolder.appendingPathComponent("tokenizer.json")
      var file = try #require(JSONSerialization.jsonObject(with: Data(contentsOf: demo)) as? [String: Any])
      var model = try #require(file["model"] as? [String: Any])
      model["vocab"] = vocabulary
      model["merges"] = merges.map { [$0.0, $0.1] }
      file["model"] = model
      let added = try #require(file["added_tokens"] as? [[String: Any]])
      file["added_tokens"] = try added.map { token in
        let text = try #require(token["content"] as? String)
        return try token.merging(["id": #require(vocabulary[text])]) { $1 }
      }
      try JSONSerialization.data(withJSONObject: file).write(to: folder.appendingPathComponent("tokenizer.json"))
    }
    return try CLIPTokenizer(folder: folder)
  }

  /// FNV-1a of 32 bits over the numbers as 16 bits each, the lower byte first.
  static func hash(_ ids: [Int32]) -> UInt32 {
    ids.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }.reduce(0x811C_9DC5) {
      ($0 ^ UInt32($1)) &* 0x0100_0193
    }
  }

  @Test(arguments: Form.allCases) func linesBecomeTheNumbersThatTransformersGives(_ form: Form) throws {
    let reference = try Reference.read()
    #expect(reference.lines.count == 10_000)
    let folder = try Scratch()
    let plain = try Self.tokenizer(form, in: folder.url)
    let extended = try reference.added.reduce(plain) { try $0.adding($1, shadowing: true) }
    for (tokenizer, hashes) in [(plain, reference.plain), (extended, reference.withAdded)] {
      #expect(hashes.count == 4 * reference.lines.count)
      var different: [String] = []
      for (line, start) in zip(reference.lines, stride(from: 0, to: hashes.count, by: 4)) {
        let expected = hashes[start..<start + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
        let ids = [tokenizer.startToken] + tokenizer.tokens(line) + [tokenizer.endToken]
        if Self.hash(ids) != expected { different.append(line) }
      }
      #expect(different.isEmpty, "\(different.count): \(different.prefix(5).map(\.debugDescription))")
    }
  }
}
