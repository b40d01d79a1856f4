import CLIPVocabulary
import Foundation
import Tensors

extension CLIPTokenizer {
  static let startText = "<|startoftext|>"
  static let endText = "<|endoftext|>"

  /// Reads a tokenizer folder as transformers writes it: `tokenizer.json`, or `vocab.json` and `merges.txt`, with
  /// `tokenizer_config.json` and `special_tokens_map.json` where they are there.
  ///
  /// - Parameter warn: told of files that are not read, or not sound, a line each.
  /// - Throws: `.noInput` where the files are missing, `.badData` where they don't hold a tokenizer.
  public init(folder: URL, warn: (String) -> Void = { _ in }) throws(UserError) {
    let files = TokenizerFiles(folder: folder)
    let model = try files.model(warn: warn)
    let special = try files.specialTokens()
    try self.init(model: model, special: special, at: [.file(folder)], maximumLength: files.maximumLength())
  }

  /// What fills the places behind a text's end.
  public enum Padding: String, Sendable, Hashable {
    /// Stable Diffusion 1's, and that of SDXL's first encoder.
    case endOfText = "<|endoftext|>"
    /// Token 0: Stable Diffusion 2's, and that of SDXL's second encoder.
    case exclamationMark = "!"
  }

  /// CLIP's own tokenizer of 49,408 tokens, for checkpoints that hold none: it is part of the program.
  public static func builtIn(padding: Padding = .endOfText) throws(UserError) -> CLIPTokenizer {
    var length = 0
    let bytes = UnsafeRawBufferPointer(start: clip_merges(&length), count: length)
    let merges = try TokenizerFiles.merges(String(decoding: bytes, as: UTF8.self), at: [])
    let model = TokenizerModel(vocabulary: BytePairEncoding.vocabulary(merges: merges), merges: merges, added: [])
    var special = SpecialTokens()
    special.padding.text = padding.rawValue
    return try CLIPTokenizer(model: model, special: special, at: [])
  }

  init(
    model: TokenizerModel, special: SpecialTokens, at places: [UserError.Place], maximumLength: Int? = nil
  ) throws(UserError) {
    // Added words keep the numbers their file gives; together with the vocabulary they must fill 0..<count, for the
    // next word's number is the count.
    var vocabulary = model.vocabulary
    for word in model.added { vocabulary[word.text] = word.id }
    guard Set(vocabulary.values).count == vocabulary.count,
      vocabulary.values.allSatisfy({ vocabulary.indices(hold: $0) })
    else {
      throw UserError(
        .badData, at: places, "the vocabulary's numbers are not 0 to \(vocabulary.count - 1), each once")
    }
    func id(_ token: String, _ role: String) throws(UserError) -> Int32 {
      guard let id = vocabulary[token] else {
        throw UserError(.badData, at: places, "the \(role) token \(quoted(token)) is not in the vocabulary")
      }
      return id
    }
    let end = try id(special.end.text, "end")
    let pieces = try BytePairEncoding(
      vocabulary: model.vocabulary, merges: model.merges, unknown: vocabulary[special.unknown.text] ?? end,
      at: places)
    var rawWords = WordFinder()
    var addedWords = WordFinder()
    let addedIds = Dictionary(model.added.map { ($0.text, $0.id) }, uniquingKeysWith: { first, _ in first })
    for word in model.added {
      // A word that somebody taught the model before, of several rows: diffusers takes as one what is named as one.
      var ids = [word.id]
      while let id = addedIds["\(word.text)_\(ids.count)"] { ids.append(id) }
      if word.isNormalized {
        addedWords.insert(TextCleaning.normalized(word.text), ids: ids)
      } else {
        rawWords.insert(word.text, ids: ids)
      }
    }
    // Special tokens are found whole in the text; Stable Diffusion 2's padding, `!`, is one of them.
    for (token, role) in [
      (special.start, "start"), (special.end, "end"), (special.padding, "padding"), (special.unknown, "unknown"),
    ] where !model.added.contains(where: { $0.text == token.text }) {
      if token.isNormalized {
        addedWords.insert(TextCleaning.normalized(token.text), ids: [try id(token.text, role)])
      } else {
        rawWords.insert(token.text, ids: [try id(token.text, role)])
      }
    }
    self.init(
      pieces: pieces, rawWords: rawWords, addedWords: addedWords, startToken: try id(special.start.text, "start"),
      endToken: end, padToken: try id(special.padding.text, "padding"), vocabularySize: vocabulary.count,
      maximumLength: maximumLength)
  }
}

extension Dictionary<String, Int32> {
  fileprivate func indices(hold id: Int32) -> Bool { id >= 0 && Int(id) < count }
}

/// What a tokenizer's files say, before it is a tokenizer.
struct TokenizerModel {
  struct AddedWord {
    let text: String
    let id: Int32
    /// Looked for in the cleaned text, not in the text as it stands.
    let isNormalized: Bool
  }

  let vocabulary: [String: Int32]
  let merges: [(String, String)]
  let added: [AddedWord]

  /// Whether both cut words into the same tokens.
  func agrees(with other: TokenizerModel) -> Bool {
    vocabulary == other.vocabulary && merges.elementsEqual(other.merges, by: ==)
  }
}

/// The tokens with a role. What a folder doesn't name is as CLIP has it.
struct SpecialTokens {
  /// A token's text, written plainly or as an object with its properties.
  struct Token: Decodable {
    var text: String
    var isNormalized = false

    init(_ text: String) { self.text = text }

    init(from decoder: any Decoder) throws {
      if let text = try? decoder.singleValueContainer().decode(String.self) {
        self.text = text
        return
      }
      let container = try decoder.container(keyedBy: CodingKeys.self)
      text = try container.decode(String.self, forKey: .content)
      isNormalized = try container.decodeIfPresent(Bool.self, forKey: .normalized) ?? false
    }

    private enum CodingKeys: String, CodingKey { case content, normalized }
  }

  var start = Token(CLIPTokenizer.startText)
  var end = Token(CLIPTokenizer.endText)
  var padding = Token(CLIPTokenizer.endText)
  var unknown = Token(CLIPTokenizer.endText)
}
