import Foundation
import ModelFiles
import Tensors

/// Reads the files of a tokenizer folder.
struct TokenizerFiles {
  let folder: URL

  /// Vocabulary, merges and added words: from `tokenizer.json`, as transformers reads them, or from `vocab.json` and
  /// `merges.txt`. Where both are there and only one is sound, from that one.
  ///
  /// - Parameter warn: told of files that are not read although they are there, and of pieces that no merge makes.
  /// - Throws: `.badData` where merges are lacking that the vocabulary has: texts would become other tokens than those the
  ///   model was trained on.
  func model(warn: (String) -> Void) throws(UserError) -> TokenizerModel {
    let pair = "vocab.json and merges.txt"
    let found: Found
    switch (exists("tokenizer.json"), exists("vocab.json") && exists("merges.txt")) {
    case (true, true):
      switch (attempt(combinedModel), attempt(separateModel)) {
      case (.success(let combined), .success(let separate)):
        if !combined.model.agrees(with: separate.model) {
          warn("\(folder.path): tokenizer.json and \(pair) disagree; tokenizer.json is read, as transformers does")
        }
        found = combined
      case (.success(let combined), .failure(let error)):
        warn("\(error.message); tokenizer.json is read in their place")
        found = combined
      case (.failure(let error), .success(let separate)):
        warn("\(error.message); \(pair) are read in its place")
        found = separate
      case (.failure(let error), .failure): throw error
      }
    case (true, false): found = try combinedModel()
    case (false, true): found = try separateModel()
    case (false, false):
      let lacking = exists("vocab.json") ? "merges.txt" : exists("merges.txt") ? "vocab.json" : "a tokenizer"
      throw UserError(.noInput, at: .file(folder), "lacks \(lacking): it needs \(pair), or tokenizer.json")
    }
    if let first = found.unmade.first {
      warn(
        "\(url(found.file).path): no merge makes \(found.unmade.count) pieces of the vocabulary, such as \(quoted(first)): "
          + "is it whole?")
    }
    return found.model
  }

  /// A model, the file that its merges are from, and the few pieces that none of them makes.
  private struct Found {
    let model: TokenizerModel
    let file: String
    let unmade: [String]
  }

  private func attempt(_ read: () throws(UserError) -> Found) -> Result<Found, UserError> {
    do throws(UserError) { return .success(try read()) } catch { return .failure(error) }
  }

  private func separateModel() throws(UserError) -> Found {
    let vocabulary = try decode([String: Int32].self, from: "vocab.json")
    let merges = try Self.merges(String(decoding: read("merges.txt"), as: UTF8.self), at: [.file(url("merges.txt"))])
    return try found(
      TokenizerModel(vocabulary: vocabulary, merges: merges, added: try addedWords(notIn: vocabulary)), "merges.txt")
  }

  /// So many pieces that no merge makes are a table that was cut; fewer may be words that somebody put in by hand.
  private static let mostUnmade = 16

  private func found(_ model: TokenizerModel, _ file: String) throws(UserError) -> Found {
    let unmade = try unmade(model)
    if unmade.count > Self.mostUnmade, let first = unmade.first {
      throw UserError(
        .badData, at: .file(url(file)),
        "none of its \(model.merges.count) merges makes \(quoted(first)), a piece of the vocabulary, nor "
          + "\(unmade.count - 1) others",
        remedy: "fetch the file again")
    }
    return Found(model: model, file: file, unmade: unmade)
  }

  /// The pieces of a vocabulary, besides single letters and special and added tokens, that no merge makes.
  private func unmade(_ model: TokenizerModel) throws(UserError) -> [String] {
    let special = try specialTokens()
    let whole = Set(
      model.merges.map { $0.0 + $0.1 } + model.added.map(\.text)
        + [special.start.text, special.end.text, special.padding.text, special.unknown.text])
    return model.vocabulary.keys.filter { piece in
      let letters = piece.hasSuffix(BytePairEncoding.endOfWord) ? piece.dropLast(4) : piece[...]
      return letters.count > 1 && !whole.contains(piece) && !(piece.hasPrefix("<") && piece.hasSuffix(">"))
    }.sorted()
  }

  /// The most tokens of a text, as `tokenizer_config.json` has it; nil where it says nothing, or the number beyond all
  /// bounds that stands for nothing.
  func maximumLength() throws(UserError) -> Int? {
    struct Configuration: Decodable {
      let modelMaxLength: Double?

      private enum CodingKeys: String, CodingKey { case modelMaxLength = "model_max_length" }
    }
    guard exists("tokenizer_config.json"),
      let length = try decode(Configuration.self, from: "tokenizer_config.json").modelMaxLength, length < 65_536
    else { return nil }
    guard length >= 3, length == length.rounded() else {
      throw UserError(
        .badData, at: [.file(url("tokenizer_config.json")), .key("model_max_length")],
        "\(length) tokens hold no text")
    }
    return Int(length)
  }

  /// Start, end, padding and unknown. `special_tokens_map.json` goes before `tokenizer_config.json`, unless that lists
  /// the added tokens, as files of newer make do.
  func specialTokens() throws(UserError) -> SpecialTokens {
    struct Roles: Decodable {
      struct Ignored: Decodable {}
      let bosToken, eosToken, padToken, unkToken: SpecialTokens.Token?
      let addedTokensDecoder: [String: Ignored]?

      private enum CodingKeys: String, CodingKey {
        case bosToken = "bos_token"
        case eosToken = "eos_token"
        case padToken = "pad_token"
        case unkToken = "unk_token"
        case addedTokensDecoder = "added_tokens_decoder"
      }
    }
    var sources: [Roles] = []
    if exists("tokenizer_config.json") { sources.append(try decode(Roles.self, from: "tokenizer_config.json")) }
    if sources.first?.addedTokensDecoder == nil, exists("special_tokens_map.json") {
      sources.append(try decode(Roles.self, from: "special_tokens_map.json"))
    }
    var tokens = SpecialTokens()
    for source in sources {
      if let token = source.bosToken { tokens.start = token }
      if let token = source.eosToken { tokens.end = token }
      if let token = source.padToken { tokens.padding = token }
      if let token = source.unkToken { tokens.unknown = token }
    }
    return tokens
  }

  /// The pairs of a `merges.txt`: two pieces a line, behind a first line that names the version.
  static func merges(_ text: String, at places: [UserError.Place]) throws(UserError) -> [(String, String)] {
    var merges: [(String, String)] = []
    for (number, line) in text.utf8.split(omittingEmptySubsequences: false, whereSeparator: { $0 == 0x0A }).enumerated()
    {
      let line = line.last == 0x0D ? line.dropLast() : line
      if line.isEmpty || line.starts(with: "#version".utf8) || (number == 0 && line.starts(with: "\"".utf8)) {
        continue
      }
      let pieces = line.split(separator: 0x20)
      guard pieces.count == 2, let left = String(pieces[0]), let right = String(pieces[1]) else {
        throw UserError(.badData, at: places, "line \(number + 1) is not a pair of pieces")
      }
      merges.append((left, right))
    }
    return merges
  }

  private func combinedModel() throws(UserError) -> Found {
    struct File: Decodable {
      struct Model: Decodable {
        let type: String?
        let vocab: [String: Int32]
        let merges: [Merge]
      }
      struct Added: Decodable {
        let id: Int32
        let content: String
        let normalized: Bool?
      }
      /// A merge, as a pair or as one text with a space between.
      struct Merge: Decodable {
        let left, right: String

        init(from decoder: any Decoder) throws {
          let container = try decoder.singleValueContainer()
          let pieces =
            try (try? container.decode([String].self))
            ?? container.decode(String.self).split(separator: " ").map { String($0) }
          guard pieces.count == 2 else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "a merge is not a pair of pieces")
          }
          (left, right) = (pieces[0], pieces[1])
        }
      }
      let model: Model
      let addedTokens: [Added]?

      private enum CodingKeys: String, CodingKey {
        case model
        case addedTokens = "added_tokens"
      }
    }
    let file = try decode(File.self, from: "tokenizer.json")
    guard file.model.type ?? "BPE" == "BPE" else {
      throw UserError(
        .badData, at: [.file(url("tokenizer.json")), .key("model.type")],
        "\(quoted(file.model.type ?? "")) is no byte-pair tokenizer")
    }
    let added = (file.addedTokens ?? []).map {
      TokenizerModel.AddedWord(text: $0.content, id: $0.id, isNormalized: $0.normalized ?? false)
    }
    let known = Set(added.map(\.text))
    return try found(
      TokenizerModel(
        vocabulary: file.model.vocab, merges: file.model.merges.map { ($0.left, $0.right) },
        added: added + (try addedWords(notIn: file.model.vocab)).filter { !known.contains($0.text) }), "tokenizer.json")
  }

  /// Words that somebody added and saved: in `added_tokens.json` by older tools, in `tokenizer_config.json` by newer
  /// ones.
  private func addedWords(notIn vocabulary: [String: Int32]) throws(UserError) -> [TokenizerModel.AddedWord] {
    struct Configuration: Decodable {
      let addedTokensDecoder: [String: SpecialTokens.Token]?

      private enum CodingKeys: String, CodingKey { case addedTokensDecoder = "added_tokens_decoder" }
    }
    var words: [TokenizerModel.AddedWord] = []
    if exists("tokenizer_config.json"),
      let listed = try decode(Configuration.self, from: "tokenizer_config.json").addedTokensDecoder
    {
      for (number, token) in listed {
        guard let id = Int32(number) else {
          throw UserError(
            .badData, at: [.file(url("tokenizer_config.json")), .key("added_tokens_decoder")],
            "the token \(quoted(token.text)) has no number but \(quoted(number))")
        }
        words.append(TokenizerModel.AddedWord(text: token.text, id: id, isNormalized: token.isNormalized))
      }
    } else if exists("added_tokens.json") {
      for (text, id) in try decode([String: Int32].self, from: "added_tokens.json") where vocabulary[text] == nil {
        words.append(TokenizerModel.AddedWord(text: text, id: id, isNormalized: true))
      }
    }
    return words.sorted { $0.id < $1.id }
  }

  private func url(_ name: String) -> URL { folder.appendingPathComponent(name) }

  private func exists(_ name: String) -> Bool { url(name).isThere }

  private func read(_ name: String) throws(UserError) -> Data {
    try Data(contentsOfInput: url(name), limit: 16 << 20)
  }

  private func decode<T: Decodable>(_ type: T.Type, from name: String) throws(UserError) -> T {
    try T(jsonFile: url(name))
  }
}
