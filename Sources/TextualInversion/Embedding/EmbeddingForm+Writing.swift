import Foundation
import Images
import ModelFiles
import Tensors

extension EmbeddingForm {
  /// What writing left behind.
  public struct Written: Sendable {
    /// The file, and for diffusers' SDXL words its pair.
    public let files: [URL]
    /// What the form has no room for, a line each.
    public let losses: [String]
  }

  /// Writes words in this form, as 32-bit floats, each file whole or not at all.
  ///
  /// - Parameters:
  ///   - metadata: what `EmbeddingContents` read.
  ///   - picture: what a card shows; one that is drawn with the word's name where there is none.
  ///   - url: the file; of diffusers' SDXL words the second is `X_2` beside it.
  /// - Throws: `UserError(.usage)` for words that the form can't hold, with what to do.
  public func write(
    _ words: [EmbeddingFile], metadata: [String: String] = [:], picture: Picture? = nil, to url: URL
  ) throws(UserError) -> Written {
    let word = try onlyWord(words)
    for word in words { try check(word) }
    let stem = url.deletingPathExtension().lastPathComponent
    var losses: [String] = []
    var files: [(url: URL, data: Data)] = []
    switch self {
    case .diffusers, .diffusersPickle:
      for (component, file) in [(Component.textEncoder, url), (.textEncoder2, EmbeddingContents.secondOfPair(url))] {
        let tensors = words.compactMap { word in word.rows[component].map { (word.word, $0) } }
        if !tensors.isEmpty {
          files.append((file, try diffusersFile(tensors, metadata, file)))
        } else if component == .textEncoder2, file.isThere {
          losses.append("\(file.path): stands beside it, and would be read as its second text encoder's: take it away")
        }
      }
    case .webUI:
      let fields = WebUIText.fields(name: word.word, texts: metadata)
      let rows = word.rows.values.map { TorchValue.tensor($0) }
      let value: [(String, TorchValue)] = [
        ("string_to_token", .dictionary([("*", .integer(265))])),
        ("string_to_param", .dictionary(rows.map { ("*", $0) })),
      ]
      files.append((url, try TorchFile.encode(.dictionary(value + fields), name: stem)))
    case .webUICard:
      for rows in word.rows.values {
        let shown = picture ?? Picture.card(title: word.word, footer: Self.cardFooter(rows, metadata))
        files.append((url, try EmbeddingCard.encode(name: word.word, rows: rows, texts: metadata, on: shown)))
      }
    case .kohya, .oneTrainer, .encoders, .bundle:
      files.append((url, namelessFile(word, metadata)))
      if stem != word.word, stem != word.fileStem {
        losses.append("\(url.path): files of this form name no word, so tools will call \(word.word) '\(stem)'")
      }
    }
    for file in files { try AtomicFile.write(file.data, to: file.url) }
    losses += lost(metadata)
    if words.count > 1 {
      losses.append(
        "\(url.path): holds \(words.count) words: this program reads them all, diffusers itself takes one a file")
    }
    return Written(files: files.map(\.url), losses: losses)
  }

  // MARK: what the form can hold

  private func onlyWord(_ words: [EmbeddingFile]) throws(UserError) -> EmbeddingFile {
    guard let word = words.first else { throw UserError(.usage, "there is no word to write") }
    guard words.count == 1 || holdsSeveralWords else {
      let names = words.prefix(4).map(\.word).joined(separator: " ") + (words.count > 4 ? " ..." : "")
      throw UserError(
        .usage, at: .option("format"), "a \(rawValue) file holds one word, these are \(words.count): \(names)",
        remedy: "choose one with --word, or --format diffusers")
    }
    guard Set(words.map(\.word)).count == words.count else {
      throw UserError(
        .usage, "two of the words are called the same", remedy: "convert one file at a time, or call one FILE=WORD")
    }
    return word
  }

  private func check(_ word: EmbeddingFile) throws(UserError) {
    func refuse(_ problem: String, _ remedy: String) -> UserError {
      UserError(.usage, at: .option("format"), problem, remedy: remedy)
    }
    let name = quoted(word.word)
    guard self != .bundle else { throw refuse("words are not written into a LoRA", "choose another format") }
    for component in Component.allCases where word.rows[component] != nil && !components.contains(component) {
      let what = component == .textEncoder2 ? "SDXL's second text encoder" : "T5"
      let others = EmbeddingForm.written.filter { Set($0.components).isSuperset(of: word.rows.keys) }.map(\.rawValue)
      throw refuse(
        "\(name) has rows for \(what), which a \(rawValue) file has no room for",
        "--format \(others.joined(separator: " or "))")
    }
    guard !word.rows.isEmpty else { throw refuse("\(name) has no rows", "name a file that has some") }
    guard self != .encoders || Array(word.rows.keys) != [.textEncoder] else {
      throw refuse("\(name) has rows for one text encoder alone, which is no word of SDXL", "--format kohya")
    }
    guard
      word.rows.values.allSatisfy({
        $0.shape.rank == 2 && $0.shape.count > 0 && $0.shape[0] <= EmbeddingContents.mostVectors && $0.isFinite
      })
    else { throw UserError(.badData, "\(name) is not rows of numbers, [vectors, width]") }
    try word.checkAgreement()
  }

  /// What of the metadata the form has no room for.
  private func lost(_ metadata: [String: String]) -> [String] {
    let kept: (String) -> Bool =
      switch self {
      case .webUI, .webUICard: { WebUIText.keys.contains($0) }
      case .diffusersPickle: { _ in false }
      default: { _ in true }
      }
    let lost = metadata.keys.filter { $0 != "format" && !kept($0) }.sorted()
    guard !lost.isEmpty else { return [] }
    let names = lost.prefix(3).joined(separator: ", ") + (lost.count > 3 ? ", ..." : "")
    return ["a \(rawValue) file has no room for \(lost.count) entries of the metadata (\(names)): they are left out"]
  }

  // MARK: the files

  private func diffusersFile(
    _ tensors: [(String, HostTensor)], _ metadata: [String: String], _ url: URL
  ) throws(UserError) -> Data {
    if self == .diffusersPickle {
      return try TorchFile.encode(
        .dictionary(tensors.map { ($0.0, .tensor($0.1)) }), name: url.deletingPathExtension().lastPathComponent)
    }
    var texts = metadata
    texts["format"] = "pt"
    return Safetensors.encode(tensors, metadata: Self.rehashed(texts, tensors))
  }

  /// A file whose tensors say nothing of their word.
  func namelessFile(_ word: EmbeddingFile, _ metadata: [String: String]) -> Data {
    let tensors = word.rows.map { component, rows in
      switch self {
      case .kohya: ("emb_params", rows)
      case .oneTrainer: ("emp_params", rows)
      default: (component.embeddingKey, rows)
      }
    }
    var texts = metadata
    texts["format"] = "pt"
    if texts["modelspec.trigger_phrase"] == nil { texts["modelspec.trigger_phrase"] = word.word }
    return Safetensors.encode(tensors, metadata: Self.rehashed(texts, tensors))
  }

  /// Metadata whose hash, where it has one, is that of the tensors.
  private static func rehashed(_ metadata: [String: String], _ tensors: [(String, HostTensor)]) -> [String: String] {
    var result = metadata
    for key in ["sshs_model_hash", "sshs_legacy_hash"] { result[key] = nil }
    if result["modelspec.hash_sha256"] != nil { result["modelspec.hash_sha256"] = ModelSpec.hash(tensors) }
    return result
  }

  private static func cardFooter(_ rows: HostTensor, _ metadata: [String: String]) -> [String] {
    [
      metadata["sd_checkpoint_name"], metadata["sd_checkpoint"].map { "[\($0)]" },
      "\(rows.shape[0])v" + (metadata["step"].map { " \($0)s" } ?? ""),
    ].compactMap { $0 }
  }
}
