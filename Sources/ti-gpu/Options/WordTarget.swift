import Foundation
import Images
import Tensors
import TextualInversion

/// Where words' file goes, and in whose form.
struct WordTarget {
  let form: EmbeddingForm
  let url: URL

  /// The form as it was asked for, else by the file's ending; in a folder the file is named by the word.
  init(_ output: PathArgument, format: EmbeddingForm?, words: [EmbeddingFile]) throws(UserError) {
    var url = output.url
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue {
      guard let format else {
        throw UserError(.usage, at: .file(url), "a folder, whose ending says no form", remedy: "give --format")
      }
      let name = format == .diffusers || format == .diffusersPickle ? "learned_embeds" : words.first?.fileStem ?? "word"
      url = url.appendingPathComponent("\(name).\(format.fileEnding)")
      self.init(form: format, url: url)
      return
    }
    if let format {
      self.init(form: format, url: url)
      return
    }
    let isSDXL = words.contains { $0.rows.count > 1 }
    switch url.pathExtension.lowercased() {
    case "pt": self.init(form: .webUI, url: url)
    case "png": self.init(form: .webUICard, url: url)
    case "bin": self.init(form: .diffusersPickle, url: url)
    case "safetensors":
      let isDiffusers = url.lastPathComponent == "learned_embeds.safetensors"
      self.init(form: isDiffusers ? .diffusers : isSDXL ? .encoders : .kohya, url: url)
    default:
      throw UserError(
        .usage, at: .file(url), "its ending says no form", remedy: "give --format, or .safetensors, .pt, .bin or .png")
    }
  }

  private init(form: EmbeddingForm, url: URL) {
    self.form = form
    self.url = url
  }

  /// Writes the words, and says what the form has no room for.
  ///
  /// - Parameters:
  ///   - sources: files that are read from, and not to be written over.
  ///   - card: what a card shows.
  func write(
    _ words: [EmbeddingFile], metadata: [String: String] = [:], from sources: [URL], card: Picture? = nil
  ) throws(UserError) -> Written {
    func real(_ url: URL) -> URL { url.resolvingSymlinksInPath().standardizedFileURL }
    if let taken = sources.first(where: { real($0) == real(url) }) {
      throw UserError(
        .usage, at: .file(taken), "is what is read from, and would be overwritten", remedy: "name another file")
    }
    if url.pathExtension.lowercased() != form.fileEnding {
      Console.warn(
        "\(url.path): tools look for files of the form \(form.rawValue) by the ending .\(form.fileEnding)")
    }
    for word in words where word.family == nil {
      let widths = word.rows.values.map { "\($0.shape.channels)" }.sorted().joined(separator: " and ")
      Console.warn(
        "'\(word.word)' has rows of width \(widths), which no Stable Diffusion has: only the model it is from takes it")
    }
    let written = try form.write(words, metadata: metadata, picture: card, to: url)
    for line in written.losses { Console.warn(line) }
    return Written(
      files: written.files.map(\.path), format: form.rawValue,
      words: words.map { Written.Word(word: $0.word, vectors: $0.vectors) })
  }

  /// What was written, for a person or for a script.
  struct Written: Encodable {
    struct Word: Encodable {
      let word: String
      let vectors: Int
    }

    let files: [String]
    let format: String
    let words: [Word]

    func print(asJSON: Bool) throws {
      if asJSON { return try Console.json(self) }
      for file in files { try Console.result(file) }
    }
  }
}
