import Foundation
import ModelFiles
import Tensors

/// All that a file of learned words holds: the words, and what the file says of itself.
public struct EmbeddingContents: Sendable {
  /// The file, or the first of a pair.
  public let url: URL
  /// The file, and its pair for the second text encoder where it has one.
  public private(set) var files: [URL]
  public let form: EmbeddingForm
  public private(set) var words: [EmbeddingFile]
  /// The metadata of safetensors; `step`, `sd_checkpoint` and `sd_checkpoint_name` of the web UIs' files.
  public let metadata: [String: String]
  /// How the numbers are stored, such as `F16`.
  public private(set) var types: Set<String>
  /// What a person may not expect, a line each.
  public private(set) var notes: [String] = []

  /// More rows than any prompt holds.
  static let mostVectors = 4096
  /// More tensors than words come in.
  private static let mostTensors = 1024
  /// Numbers of all of them together: many tensors may show the same part of a file.
  private static let mostNumbers = 1 << 26
  /// Wider than the rows of any text encoder.
  static let widest = 1 << 14

  /// Reads a file of any form. Of diffusers' pairs, `X` and `X_2`, either names both.
  ///
  /// - Throws: `UserError(.noInput)` for a missing file; `.badData`, with what the file is, for one that holds no words, or rows
  ///   that are no numbers.
  public init(_ url: URL) throws(UserError) {
    self = try Self.read(url)
  }

  private static func read(_ url: URL) throws(UserError) -> EmbeddingContents {
    if let first = firstOfPair(url), let pair = try? Self(single: first).joined(with: url) { return pair }
    var contents = try Self(single: url)
    let second = secondOfPair(url)
    guard contents.form == .diffusers || contents.form == .diffusersPickle, second.isThere else { return contents }
    do throws(UserError) {
      if let pair = try contents.joined(with: second) { return pair }
    } catch { contents.notes.append("not taken for the second text encoder's: \(error.message)") }
    return contents
  }

  /// The words of one file.
  private init(single url: URL) throws(UserError) {
    guard let tensors = try EmbeddingTensors(url) else {
      throw UserError(
        .badData, at: .file(url), "a picture that carries no word", remedy: "name a card as the web UIs make them")
    }
    do throws(UserError) { try self.init(tensors, url) } catch { throw error.at(.file(url)) }
  }

  private init(_ tensors: EmbeddingTensors, _ url: URL) throws(UserError) {
    self.url = url
    files = [url]
    var entries = tensors.entries
    let bundled = entries.filter { $0.name.hasPrefix(Self.bundlePrefix) }
    if bundled.isEmpty {
      try Self.refuseOthers(entries.map(\.name))
    } else if bundled.count < entries.count {
      notes.append("\(url.path): a LoRA that carries words: the words are read, the LoRA is not applied")
      entries = bundled
    }
    let stem = url.deletingPathExtension().lastPathComponent
    guard entries.count <= Self.mostTensors else {
      throw UserError(.badData, "holds \(entries.count) tensors, which are no learned words", remedy: Self.otherFile)
    }
    var numbers = 0
    var (words, forms): ([(word: String, rows: [Component: HostTensor])], Set<EmbeddingForm>) = ([], [])
    for entry in entries where !entry.name.hasPrefix("string_to_token") {
      let place = try Self.place(entry, tensors, stem: stem)
      let rows = try Self.rows(entry, place.component)
      numbers += rows.shape.count
      guard numbers <= Self.mostNumbers else {
        throw UserError(
          .badData, "holds over \(Self.mostNumbers) numbers, which are no learned words", remedy: Self.otherFile)
      }
      forms.insert(place.form)
      if let index = words.firstIndex(where: { $0.word == place.word }) {
        guard words[index].rows.updateValue(rows, forKey: place.component) == nil else {
          throw UserError(
            .badData, at: .tensor(entry.name), "has rows of \(quoted(place.word)) that another tensor has as well",
            remedy: "name a file of one word")
        }
      } else {
        words.append((place.word, [place.component: rows]))
      }
    }
    guard let form = forms.first, forms.count == 1 else {
      let names = entries.prefix(3).map { quoted($0.name) }.joined(separator: ", ")
      throw UserError(
        .badData,
        words.isEmpty
          ? "holds no tensors, and so no word"
          : "holds tensors by several conventions (\(names)), which do not go together",
        remedy: "name a file of learned words")
    }
    self.form = form
    types = Set(entries.map(\.type))
    metadata =
      tensors.container == .safetensors
      ? tensors.texts : tensors.texts.filter { WebUIText.keys.contains($0.key) && !$0.value.isEmpty }
    self.words = words.map { EmbeddingFile(word: $0.word, rows: $0.rows, url: url) }
    for word in self.words { try word.checkAgreement() }
    if types.contains("F64") { notes.append("\(url.path): its 64-bit numbers are read as 32-bit floats") }
  }

  // MARK: whose rows a tensor is

  private static let bundlePrefix = "bundle_emb."

  private static func place(
    _ entry: EmbeddingTensors.Entry, _ tensors: EmbeddingTensors, stem: String
  ) throws(UserError) -> (word: String, component: Component, form: EmbeddingForm) {
    var name = entry.name
    if name.hasSuffix("_out"), isKey(String(name.dropLast(4))) {
      throw UserError(
        .badData, at: .tensor(name), "holds what a text encoder puts out, not a word's rows",
        remedy: "train it again without output embeddings")
    }
    if name.hasPrefix(bundlePrefix) {
      name = String(name.dropFirst(bundlePrefix.count))
      guard let key = EmbeddingForm.keys.keys.first(where: { !$0.isEmpty && name.hasSuffix("." + $0) && $0 != "*" })
      else {
        throw UserError(.badData, at: .tensor(entry.name), "is no rows of a bundled word that are known here")
      }
      let word = String(name.dropLast(key.count + 1))
      return (word.isEmpty ? stem : word, EmbeddingForm.keys[key]?.component ?? .textEncoder, .bundle)
    }
    let ofContainer: EmbeddingForm =
      switch tensors.container {
      case .safetensors: .diffusers
      case .torch: .diffusersPickle
      case .card: .webUICard
      }
    if let known = EmbeddingForm.keys[name] {
      let isWebUI = known.form == .webUI
      let word = isWebUI ? tensors.texts["name"].flatMap { $0.isEmpty ? nil : $0 } : nil
      let form = known.form == .diffusers || tensors.container == .card ? ofContainer : known.form
      let component = name == "emb_params" || name == "emp_params" ? ofWidth(entry.shape) : known.component
      return (word ?? stem, component, form)
    }
    let parameters = "string_to_param."
    if name.hasPrefix(parameters) {
      let isOnly = tensors.entries.filter { $0.name.hasPrefix(parameters) }.count == 1
      let own = isOnly ? tensors.texts["name"].flatMap { $0.isEmpty ? nil : $0 } : nil
      return (
        own ?? String(name.dropFirst(parameters.count)), .textEncoder, tensors.container == .card ? .webUICard : .webUI
      )
    }
    return (name, stem == "learned_embeds_2" ? .textEncoder2 : ofWidth(entry.shape), ofContainer)
  }

  private static func isKey(_ name: String) -> Bool {
    EmbeddingForm.keys[name] != nil
      || name.hasPrefix(bundlePrefix) && EmbeddingForm.keys.keys.contains { !$0.isEmpty && name.hasSuffix("." + $0) }
  }

  private static func ofWidth(_ shape: Shape) -> Component { EmbeddingForm.widths[shape.channels] ?? .textEncoder }

  private static func rows(
    _ entry: EmbeddingTensors.Entry, _ component: Component
  ) throws(UserError) -> HostTensor {
    let place = UserError.Place.tensor(entry.name.isEmpty ? "the tensor" : entry.name)
    let shape = entry.shape
    guard shape.rank == 2 || shape.rank == 1, (1...mostVectors).contains(shape.rows),
      (1...widest).contains(shape.channels)
    else {
      throw UserError(.badData, at: place, "is \(shape), not the rows of a word: [vectors, width]", remedy: otherFile)
    }
    if let owner = EmbeddingForm.widths[shape.channels], owner != component {
      throw UserError(
        .badData, at: place, "is \(shape): a width of \(shape.channels) is that of '\(owner.embeddingKey)'",
        remedy: "make the file again")
    }
    let rows: HostTensor
    do throws(UserError) { rows = try entry.read() } catch { throw error.inside(place) }
    guard rows.isFinite else {
      throw UserError(.badData, at: place, "holds NaN or infinity", remedy: EmbeddingFile.retraining)
    }
    return rows.reshaped([shape.rows, shape.channels])
  }

  // MARK: what is no file of words

  private static let otherFile = "name a file of learned words"

  private static func refuseOthers(_ names: [String]) throws(UserError) {
    let other = OtherContent(names: names)
    let kind = SingleFile.holdsUNet(names) ? "a model" : other == .embedding ? nil : other?.kind
    if let kind { throw UserError(.badData, "is \(kind), which can't be read as a word", remedy: otherFile) }
  }

  // MARK: pairs

  /// `X_2` beside `X`.
  static func secondOfPair(_ url: URL) -> URL {
    let stem = url.deletingPathExtension().lastPathComponent
    return url.deletingLastPathComponent().appendingPathComponent("\(stem)_2").appendingPathExtension(url.pathExtension)
  }

  /// `X` where `url` is `X_2` and there is one.
  private static func firstOfPair(_ url: URL) -> URL? {
    let stem = url.deletingPathExtension().lastPathComponent
    guard stem.hasSuffix("_2") else { return nil }
    let first = url.deletingLastPathComponent().appendingPathComponent(String(stem.dropLast(2)))
      .appendingPathExtension(url.pathExtension)
    return first.isThere ? first : nil
  }

  /// The words with the rows that a second file has for the second text encoder; nil where the two are no pair: others' words,
  /// or rows of the same width.
  private func joined(with url: URL) throws(UserError) -> EmbeddingContents? {
    let second = try EmbeddingContents(single: url)
    guard second.form == form, form.namesWord, Set(second.words.map(\.word)) == Set(words.map(\.word)) else {
      return nil
    }
    var pair = self
    pair.files.append(url)
    pair.types.formUnion(second.types)
    pair.notes += second.notes
    pair.words = []
    for word in words {
      guard let rows = word.rows[.textEncoder], word.rows.count == 1,
        let more = second.words.first(where: { $0.word == word.word })?.rows.values.first,
        more.shape.channels != rows.shape.channels
      else { return nil }
      pair.words.append(EmbeddingFile(word: word.word, rows: [.textEncoder: rows, .textEncoder2: more], url: self.url))
      try pair.words.last?.checkAgreement()
    }
    return pair
  }
}
