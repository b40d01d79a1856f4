import Tensors

/// CLIP's tokenizer: text to the token numbers that the text encoder was trained on.
///
/// The steps are those of transformers' `CLIPTokenizer`: cut out the added words, clean the rest (NFC, lower case),
/// split it into words, write each word as bytes and merge the bytes by CLIP's table of pairs. Added words, such as the
/// one a training run teaches, are found anywhere in the text, with or without spaces round them, whatever their case,
/// the longest first.
///
/// A word may have several rows, each a token of its own: `<toy>`, `<toy>_1`, `<toy>_2`, ... as diffusers names them. The
/// bare word then stands for all of them in order, `<toy>_1` for that one alone.
public struct CLIPTokenizer: Sendable {
  /// A text as the text encoder takes it.
  public struct Encoded: Sendable, Equatable {
    /// `length` token numbers: start, the text, end, padding.
    public let ids: [Int32]
    /// The words that did not fit, as cleaned text; nil where everything did.
    public let truncated: String?

    public init(ids: [Int32], truncated: String?) {
      self.ids = ids
      self.truncated = truncated
    }
  }

  let pieces: BytePairEncoding
  /// Words looked for in the text as it stands, before cleaning: special tokens.
  private(set) var rawWords: WordFinder
  /// Words looked for in the cleaned text.
  private(set) var addedWords: WordFinder

  public let startToken: Int32
  public let endToken: Int32
  /// Fills the positions behind the end: the end token in Stable Diffusion 1, `!` in 2.
  public let padToken: Int32
  /// The number of tokens, added words among them; the next added word gets this number.
  public private(set) var vocabularySize: Int
  /// The most tokens of a text that the tokenizer's files name, start and end among them; nil where they name none.
  let maximumLength: Int?
  /// How many tokens a prompt becomes: start, text, end, padding. 77 in Stable Diffusion.
  public private(set) var promptLength: Int

  init(
    pieces: BytePairEncoding, rawWords: WordFinder, addedWords: WordFinder, startToken: Int32, endToken: Int32,
    padToken: Int32, vocabularySize: Int, maximumLength: Int? = nil
  ) {
    self.pieces = pieces
    self.rawWords = rawWords
    self.addedWords = addedWords
    self.startToken = startToken
    self.endToken = endToken
    self.padToken = padToken
    self.vocabularySize = vocabularySize
    self.maximumLength = maximumLength
    promptLength = maximumLength ?? 77
  }

  /// The same tokenizer for a text encoder of so many positions, which are a prompt's length where the tokenizer's files don't
  /// name a smaller one.
  public func fitting(positions: Int) -> CLIPTokenizer {
    var result = self
    result.promptLength = min(maximumLength ?? positions, positions)
    return result
  }

  /// The same tokenizer with one more word, whose rows get the numbers `vocabularySize`, `vocabularySize + 1`, ... in order.
  ///
  /// - Parameters:
  ///   - vectors: how many rows the word has; with none it is read as nothing, which is what an encoder makes of a word that
  ///     another was taught.
  ///   - shadowing: whether the word may be one that the vocabulary spells as one piece, whose meaning the new row then
  ///     takes away from every prompt. Embedding files may be named so; a word to be taught had better not.
  /// - Throws: `.badData` where the word is blank, or where it or the name of one of its rows exists already.
  public func adding(_ word: String, vectors: Int = 1, shadowing: Bool = false) throws(UserError) -> CLIPTokenizer {
    guard !word.unicodeScalars.allSatisfy(\.properties.isWhitespace) else {
      throw UserError(.badData, "the token \(quoted(word)) is blank: give it letters, such as <toy>")
    }
    guard (0...Int(Int16.max)).contains(vectors) else {
      throw UserError(
        .usage, "\(vectors) vectors: the word \(quoted(word)) takes no fewer than none, and no more than fit a prompt")
    }
    let names = CLIPTokenizer.names(of: word, vectors: vectors)
    // `word_1` that is there already would be read as a row of this word.
    for name in names + (vectors == 1 ? ["\(word)_1"] : []) where exists(name, shadowing: shadowing) {
      let other = suggestion(for: word).map { ", such as \($0)" } ?? ""
      throw UserError(.badData, "the token \(quoted(name)) already exists in the tokenizer: choose another\(other)")
    }
    var result = self
    let ids = (0..<vectors).map { Int32(vocabularySize + $0) }
    for (name, id) in zip(names, ids) { result.addedWords.insert(TextCleaning.normalized(name), ids: [id]) }
    result.addedWords.insert(TextCleaning.normalized(word), ids: ids)
    result.vocabularySize += vectors
    return result
  }

  /// A word like one that exists already; nil where that has no letters to make one of.
  private func suggestion(for word: String) -> String? {
    let parts = TextCleaning.normalized(word).split { !$0.isLetter && !$0.isNumber }.drop { $0 == "my" }
    guard parts.contains(where: { $0.contains(where: \.isLetter) }) else { return nil }
    let stem = parts.joined(separator: "-")
    return ["<my-\(stem)>", "<\(stem)-2>"].first { !exists($0, shadowing: false) }
  }

  /// What diffusers names the rows of a word.
  static func names(of word: String, vectors: Int) -> [String] {
    [word] + (1..<max(vectors, 1)).map { "\(word)_\($0)" }
  }

  private func exists(_ word: String, shadowing: Bool) -> Bool {
    let cleaned = TextCleaning.normalized(word)
    return contains(word) || contains(cleaned)
      || !shadowing && pieces.id(of: cleaned + BytePairEncoding.endOfWord) != nil
  }

  /// Whether a word is a token as it stands: an added word, a special token or a piece of the vocabulary.
  public func contains(_ word: String) -> Bool {
    pieces.id(of: word) != nil || addedWords.contains(word) || rawWords.contains(word)
  }

  /// Every token as the files write it, in the order of their numbers: pieces of the vocabulary, in the letters that stand for
  /// bytes, and added words, a word's rows each by its name.
  public var names: [String] {
    var names = Array(repeating: "", count: vocabularySize)
    func name(_ id: Int32, _ text: String) {
      if names.indices.contains(Int(id)) { names[Int(id)] = text }
    }
    for (piece, id) in pieces.vocabulary { name(id, piece) }
    for (word, ids) in addedWords.words + rawWords.words { if let first = ids.first { name(first, word) } }
    return names
  }

  /// The token numbers of a text, without start and end.
  public func tokens(_ text: String) -> [Int32] {
    words(text).flatMap(\.ids)
  }

  /// A text as `length` token numbers, `promptLength` by default and 2 at the least: start, what fits of the text, end,
  /// padding.
  public func encode(_ text: String, length: Int? = nil) -> Encoded {
    let length = max(2, length ?? promptLength)
    let words = words(text)
    var ids: [Int32] = [startToken]
    var cut = ""
    for word in words {
      if cut.isEmpty, ids.count + word.ids.count <= length - 1 {
        ids += word.ids
      } else {
        ids += word.ids.prefix(length - 1 - ids.count)
        cut += (word.followsSpace && !cut.isEmpty ? " " : "") + word.text
      }
    }
    ids.append(endToken)
    ids += repeatElement(padToken, count: length - ids.count)
    return Encoded(ids: ids, truncated: cut.isEmpty ? nil : cut)
  }

  /// One word of a text and its tokens.
  struct Word {
    let text: String
    let followsSpace: Bool
    let ids: [Int32]
    /// An added word or a special token, found as it stands; its tokens belong together.
    var isWhole = false
  }

  /// The tokens of a text, those of an added word together and all others by themselves.
  func units(_ text: String) -> [[Int32]] {
    words(text).flatMap { word in word.isWhole ? [word.ids] : word.ids.map { [$0] } }
  }

  func words(_ text: String) -> [Word] {
    var words: [Word] = []
    // Space at the edge of a part belongs to the word that comes next, in whichever part that is.
    var space = false
    for part in rawWords.split(Array(text.unicodeScalars)) {
      switch part {
      case .word(let text, let ids):
        words.append(Word(text: text, followsSpace: space, ids: ids, isWhole: true))
        space = false
      case .text(let scalars):
        for part in addedWords.split(Array(TextCleaning.normalized(String(scalars)).unicodeScalars)) {
          switch part {
          case .word(let text, let ids):
            words.append(Word(text: text, followsSpace: space, ids: ids, isWhole: true))
            space = false
          case .text(let scalars):
            for piece in TextCleaning.words(scalars) {
              let followsSpace = space || piece.followsSpace
              words.append(Word(text: piece.text, followsSpace: followsSpace, ids: pieces.encode(piece.text)))
              space = false
            }
            if scalars.last?.properties.isWhitespace == true { space = true }
          }
        }
      }
    }
    return words
  }
}

extension String {
  init(_ scalars: some Sequence<Unicode.Scalar>) {
    var view = UnicodeScalarView()
    view.append(contentsOf: scalars)
    self.init(view)
  }
}
