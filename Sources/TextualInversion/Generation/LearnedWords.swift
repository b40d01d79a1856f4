import Foundation
import ModelFiles
import StableDiffusion
import Tensors

/// Words out of files as a model takes them: held against it, known to its tokenizers, their rows behind the vocabulary's.
struct LearnedWords {
  struct Word {
    let word: String
    /// The numbers of its rows in each text encoder.
    let ids: [Component: Range<Int32>]
    let url: URL?
  }

  private(set) var words: [Word] = []
  /// The model's tokenizers, and the words in them.
  private(set) var tokenizers: [Component: CLIPTokenizer] = [:]
  /// How many tokens the model's own tokenizers know.
  let vocabularies: [Component: Int]
  /// `[all words' vectors, width]` of each encoder for which a word has rows.
  private(set) var rows: [Component: HostTensor] = [:]
  /// What a person may not expect of the words, a line each.
  private(set) var warnings: [String] = []
  /// What `embedding:NAME` may call each word.
  private let wordsByName: [String: String]
  /// In the model's order.
  private let encoders: [Component]

  /// - Throws: `badData`, with the file, for a word that does not fit the model or that another has taken.
  init(_ embeddings: [EmbeddingFile], of model: StableDiffusionModel) throws(UserError) {
    wordsByName = embeddings.wordsByName
    let parts = model.shape.textComponents
    encoders = parts.map(\.component)
    for encoder in encoders { tokenizers[encoder] = try model.tokenizer(encoder) }
    vocabularies = tokenizers.mapValues(\.vocabularySize)
    if embeddings.isEmpty { return }
    var vocabulary: [EncoderVocabulary] = []
    for (encoder, configuration) in parts {
      vocabulary.append(
        EncoderVocabulary(
          encoder: encoder, width: configuration.width, places: (tokenizers[encoder]?.promptLength ?? 2) - 2,
          longest: try model.tokenTable(encoder).rowNorms.max() ?? 0))
    }
    for embedding in embeddings {
      do throws(UserError) {
        try embedding.check(vocabulary)
        if let other = words.first(where: { $0.word.lowercased() == embedding.word.lowercased() }) {
          throw UserError(
            .badData, "its word \(quoted(embedding.word)) is that of \(other.url?.path ?? "another") as well",
            remedy: embedding.renaming)
        }
        try add(embedding)
      } catch { throw embedding.url.map { error.at(.file($0)) } ?? error }
    }
    takeRows(of: embeddings)
  }

  /// The same words with other rows: those of words in training, which fit the model and change from step to step.
  ///
  /// - Parameter embeddings: of the words that there are, in their order, each of as many rows.
  mutating func takeRows(of embeddings: [EmbeddingFile]) {
    for encoder in encoders {
      let tables = embeddings.compactMap { $0.rows[encoder] }
      guard let width = tables.first?.shape.channels else { continue }
      rows[encoder] = HostTensor([tables.reduce(0) { $0 + $1.shape[0] }, width], tables.flatMap(\.values))
    }
  }

  private mutating func add(_ embedding: EmbeddingFile) throws(UserError) {
    var ids: [Component: Range<Int32>] = [:]
    for encoder in encoders {
      guard let tokenizer = tokenizers[encoder] else { continue }
      let vectors = embedding.rows[encoder]?.shape[0] ?? 0
      let first = Int32(tokenizer.vocabularySize)
      tokenizers[encoder] = try tokenizer.adding(embedding, vectors: vectors)
      ids[encoder] = first..<first + Int32(vectors)
      if vectors == 0 {
        warnings.append(
          "\(quoted(embedding.word)) has no rows for the model's \(encoder.rawValue), which reads prompts without it: was it "
            + "learned on another kind of model?")
      }
    }
    words.append(Word(word: embedding.word, ids: ids, url: embedding.url))
  }

  /// What the settings' prompts say, with the words in them.
  func prompts(_ settings: GenerationSettings) -> PicturePrompts {
    PicturePrompts(settings, tokenizers: encoders.compactMap { tokenizers[$0] }, words: wordsByName)
  }

  /// Where each word stands in the settings' prompts, as the first encoder that has rows for it reads them.
  func uses(_ settings: GenerationSettings) -> [WordUse] {
    let chunks = prompts(settings).chunks
    // What plain prompts have no place for is cut.
    let texts = settings.isGuided ? [settings.negativePrompt, settings.prompt] : [settings.prompt]
    return words.map { word in
      let index = encoders.firstIndex { word.ids[$0]?.isEmpty == false } ?? 0
      let ids = word.ids[encoders[index]] ?? 0..<0
      let tokenizer = tokenizers[encoders[index]]
      let whole = settings.plainPrompts ? texts.flatMap { tokenizer?.tokens($0) ?? [] } : []
      let places = chunks[index].map { PicturePrompts.places(of: ids, in: $0) }
      let all = whole.filter { ids.contains($0) }.count
      return WordUse(
        word: word.word, vectors: ids.count, file: word.url?.path, prompt: places.last ?? [],
        negativePrompt: settings.isGuided ? places[0] : [], cut: max(0, all - places.joined().count))
    }
  }
}

extension CLIPTokenizer {
  /// The same tokenizer with the word of a file, which may be one that the vocabulary spells as one piece.
  ///
  /// - Parameter vectors: how many rows the word has for the tokenizer's encoder; as many as for any where none is given.
  /// - Throws: `.badData` where the word is blank, or where it or the name of one of its rows exists already.
  public func adding(_ embedding: EmbeddingFile, vectors: Int? = nil) throws(UserError) -> CLIPTokenizer {
    do throws(UserError) {
      return try adding(embedding.word, vectors: vectors ?? embedding.vectors, shadowing: true)
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
