import Foundation
import ModelFiles
import StableDiffusion
import Tensors

/// Words out of files as a model takes them: held against it, known to its tokenizer, their rows behind the vocabulary's.
struct LearnedWords {
  struct Word {
    let word: String
    /// The numbers of its rows.
    let ids: Range<Int32>
    let url: URL?
  }

  private(set) var words: [Word] = []
  /// The model's tokenizer, and the words in it.
  private(set) var tokenizer: CLIPTokenizer
  /// How many tokens the model's own tokenizer knows.
  let vocabulary: Int
  /// `[all words' vectors, width]`; nil where there is no word.
  private(set) var rows: HostTensor?
  /// What `embedding:NAME` may call each word.
  private let wordsByName: [String: String]

  /// - Throws: `badData`, with the file, for a word that does not fit the model or that another has taken.
  init(_ embeddings: [EmbeddingFile], of model: StableDiffusionModel) throws(UserError) {
    let width = model.shape.textEncoder.width
    tokenizer = try model.tokenizer()
    vocabulary = tokenizer.vocabularySize
    wordsByName = embeddings.wordsByName
    let longest = embeddings.isEmpty ? 0 : try model.tokenTable().rowNorms.max() ?? 0
    for embedding in embeddings {
      do throws(UserError) {
        try embedding.check([
          EncoderVocabulary(
            encoder: .textEncoder, width: width, places: tokenizer.promptLength - 2, longest: longest)
        ])
        if let other = words.first(where: { $0.word.lowercased() == embedding.word.lowercased() }) {
          throw UserError(
            .badData, "its word \(quoted(embedding.word)) is that of \(other.url?.path ?? "another") as well",
            remedy: embedding.renaming)
        }
        try add(embedding)
      } catch { throw embedding.url.map { error.at(.file($0)) } ?? error }
    }
    if embeddings.isEmpty { return }
    let all = embeddings.compactMap { $0.rows[.textEncoder] }
    rows = HostTensor([all.reduce(0) { $0 + $1.shape[0] }, width], all.flatMap(\.values))
  }

  private mutating func add(_ embedding: EmbeddingFile) throws(UserError) {
    let first = Int32(tokenizer.vocabularySize)
    tokenizer = try tokenizer.adding(embedding)
    words.append(Word(word: embedding.word, ids: first..<Int32(tokenizer.vocabularySize), url: embedding.url))
  }

  /// What the settings' prompts say, with the words in them.
  func prompts(_ settings: GenerationSettings) -> PicturePrompts {
    PicturePrompts(settings, tokenizers: [tokenizer], words: wordsByName)
  }

  /// Where each word stands in the settings' prompts.
  func uses(_ settings: GenerationSettings) -> [WordUse] {
    let prompts = prompts(settings).chunks[0]
    // What plain prompts have no place for is cut.
    let texts = settings.isGuided ? [settings.negativePrompt, settings.prompt] : [settings.prompt]
    let whole = settings.plainPrompts ? texts.flatMap { tokenizer.tokens($0) } : []
    return words.map { word in
      let places = prompts.map { PicturePrompts.places(of: word.ids, in: $0) }
      let all = whole.filter { word.ids.contains($0) }.count
      return WordUse(
        word: word.word, vectors: word.ids.count, file: word.url?.path, prompt: places.last ?? [],
        negativePrompt: settings.isGuided ? places[0] : [], cut: max(0, all - places.joined().count))
    }
  }
}

extension CLIPTokenizer {
  /// The same tokenizer with the word of a file, which may be one that the vocabulary spells as one piece.
  ///
  /// - Throws: `.badData` where the word is blank, or where it or the name of one of its rows exists already.
  public func adding(_ embedding: EmbeddingFile) throws(UserError) -> CLIPTokenizer {
    do throws(UserError) {
      return try adding(embedding.word, vectors: embedding.vectors, shadowing: true)
    } catch { throw UserError(.badData, error.problem, remedy: embedding.renaming) }
  }
}

extension [EmbeddingFile] {
  /// What `embedding:NAME` may call each word, in lower case: the word, with and without `<` and `>`, and its file's name.
  public var wordsByName: [String: String] {
    var words: [String: String] = [:]
    for name in [\.word, \.bareWord, \.fileName] as [KeyPath<EmbeddingFile, String>] {
      for file in self where words[file[keyPath: name].lowercased()] == nil {
        words[file[keyPath: name].lowercased()] = file.word
      }
    }
    return words
  }
}

extension EmbeddingFile {
  fileprivate var bareWord: String { word.filter { !"<>".contains($0) } }
  fileprivate var fileName: String { url?.deletingPathExtension().lastPathComponent ?? "" }
}
