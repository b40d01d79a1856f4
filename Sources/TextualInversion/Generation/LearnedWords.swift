import Foundation
import ModelFiles
import StableDiffusion
import Tensors

/// Words out of files as a model takes them: held against it, known to its tokenizers, their rows behind the vocabulary's.
struct LearnedWords {
  struct Word {
    let word: String
    /// The numbers of its rows, one range an encoder.
    let ids: [Range<Int32>]
    let url: URL?
  }

  /// One of the model's text encoders.
  struct Encoder {
    let component: Component
    /// How many tokens the model's own tokenizer knows.
    let vocabulary: Int
    /// The model's tokenizer, and the words in it.
    fileprivate(set) var tokenizer: CLIPTokenizer
    /// `[all words' vectors, width]`; nil where no word has rows for it.
    fileprivate(set) var rows: HostTensor?
  }

  private(set) var words: [Word] = []
  /// In the model's order.
  private(set) var encoders: [Encoder] = []
  /// The encoders' token tables where they were read, so that loading the encoders need not read them again.
  private var tables: [Component: HostTensor] = [:]
  /// What a person may not expect of the words, a line each.
  private(set) var warnings: [String] = []
  /// What `embedding:NAME` may call each word.
  private let wordsByName: [String: String]

  /// - Parameter areKnownToFit: of words that are being trained on the model: nothing is read to hold them against.
  /// - Throws: `badData`, with the file, for a word that does not fit the model or that another has taken.
  init(
    _ embeddings: [EmbeddingFile], of model: StableDiffusionModel, areKnownToFit: Bool = false
  ) throws(UserError) {
    wordsByName = embeddings.wordsByName
    var vocabularies: [EncoderVocabulary] = []
    for (component, configuration) in model.shape.textComponents {
      let tokenizer = try model.tokenizer(component)
      encoders.append(Encoder(component: component, vocabulary: tokenizer.vocabularySize, tokenizer: tokenizer))
      if embeddings.isEmpty || areKnownToFit { continue }
      let table = try model.tokenTable(component)
      tables[component] = table
      vocabularies.append(
        EncoderVocabulary(
          encoder: component, width: configuration.width, places: tokenizer.promptLength - 2,
          longest: table.rowNorms.max() ?? 0))
    }
    for embedding in embeddings {
      do throws(UserError) {
        if !areKnownToFit { try embedding.check(vocabularies) }
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
    for index in encoders.indices {
      let tables = embeddings.compactMap { $0.rows[encoders[index].component] }
      guard let width = tables.first?.shape.channels else { continue }
      encoders[index].rows = HostTensor([tables.reduce(0) { $0 + $1.shape[0] }, width], tables.flatMap(\.values))
    }
  }

  private mutating func add(_ embedding: EmbeddingFile) throws(UserError) {
    var ids: [Range<Int32>] = []
    for index in encoders.indices {
      let vectors = embedding.rows[encoders[index].component]?.shape[0] ?? 0
      let first = Int32(encoders[index].tokenizer.vocabularySize)
      encoders[index].tokenizer = try encoders[index].tokenizer.adding(embedding, vectors: vectors)
      ids.append(first..<first + Int32(vectors))
      if vectors == 0 {
        warnings.append(
          "\(quoted(embedding.word)) has no rows for the model's \(encoders[index].component.rawValue), which reads prompts "
            + "without it: was it learned on another kind of model?")
      }
    }
    words.append(Word(word: embedding.word, ids: ids, url: embedding.url))
  }

  /// `[all words' vectors, width]` of each encoder for which a word has rows.
  var rows: [Component: HostTensor] { encoders.reduce(into: [:]) { $0[$1.component] = $1.rows } }

  /// The token tables, which are kept no longer.
  mutating func takeTables() -> [Component: HostTensor] {
    defer { tables = [:] }
    return tables
  }

  /// How many tokens each encoder's own tokenizer knows.
  var vocabularies: [Component: Int] { encoders.reduce(into: [:]) { $0[$1.component] = $1.vocabulary } }

  /// What the settings' prompts say, with the words in them.
  func prompts(_ settings: GenerationSettings) -> PicturePrompts {
    PicturePrompts(settings, tokenizers: encoders.map(\.tokenizer), words: wordsByName)
  }

  /// Where each word stands in the settings' prompts, as the first encoder that has rows for it reads them.
  func uses(_ settings: GenerationSettings) -> [WordUse] {
    let chunks = prompts(settings).chunks
    // What plain prompts have no place for is cut.
    let texts = settings.isGuided ? [settings.negativePrompt, settings.prompt] : [settings.prompt]
    return words.compactMap { word in
      for (encoder, (ids, prompts)) in zip(encoders, zip(word.ids, chunks)) where !ids.isEmpty {
        let whole = settings.plainPrompts ? texts.flatMap { encoder.tokenizer.tokens($0) } : []
        let places = prompts.map { PicturePrompts.places(of: ids, in: $0) }
        let all = whole.filter { ids.contains($0) }.count
        return WordUse(
          word: word.word, vectors: ids.count, file: word.url?.path, prompt: places.last ?? [],
          negativePrompt: settings.isGuided ? places[0] : [], cut: max(0, all - places.joined().count))
      }
      // Every word has rows for an encoder.
      return nil
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
