import ArgumentParser
import Foundation
import Images
import Tensors
import TextualInversion

extension EmbeddingForm: ExpressibleByArgument {
  public static var allValueStrings: [String] { written.map(\.rawValue) }

  public init?(argument: String) {
    guard let form = EmbeddingForm(rawValue: argument), EmbeddingForm.written.contains(form) else { return nil }
    self = form
  }
}

/// `ti-gpu convert`: a learned word into another tool's file.
struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Turns a learned word's file into another tool's.",
    discussion: """
        ti-gpu convert toy.pt toy.safetensors
        ti-gpu convert toy.safetensors toy.png --card beach.png

      diffusers      {word: rows} as safetensors; of SDXL words a pair, X and X_2
      diffusers-bin  the same by torch.save
      webui          AUTOMATIC1111's .pt
      webui-png      a picture that carries the word
      kohya          'emb_params': ComfyUI, the web UIs, InvokeAI, SD.Next
      onetrainer     'emp_params'
      sdxl           'clip_l' and 'clip_g': everybody's form for SDXL

      Without --format the ending decides: .pt is webui, .png webui-png, .bin \
      diffusers-bin, .safetensors kohya or, for SDXL words, sdxl; \
      learned_embeds.safetensors is diffusers. What a form has no room for is said.
      """)

  @Argument(help: "A learned word's file of any kind, or FILE=WORD to call its word otherwise.")
  var input: EmbeddingArgument
  @Argument(help: "The file to write; in a folder it is named by the word.")
  var output: PathArgument
  @Option(help: "Whose form.")
  var format: EmbeddingForm?
  @Option(help: "Which word, of a file that holds several.")
  var word: String?
  @Option(help: ArgumentHelp("What a card shows.", valueName: "picture"))
  var card: PathArgument?
  @Flag(help: "Print JSON on standard output.")
  var json = false

  private struct Result: Encodable {
    struct Word: Encodable {
      let word: String
      let vectors: Int
    }

    let files: [String]
    let format: String
    let words: [Word]
  }

  func run() throws {
    let (url, name) = try input.place()
    let read = try EmbeddingContents.all(at: url, warn: Console.warn)
    for note in read.flatMap(\.notes) { Console.warn(note) }
    let words = try chosen(read.flatMap(\.words), calling: name)
    let (form, target) = try target(for: words)
    let taken = read.flatMap(\.files).first {
      $0.resolvingSymlinksInPath().standardizedFileURL == target.resolvingSymlinksInPath().standardizedFileURL
    }
    if let taken {
      throw UserError(
        .usage, at: .file(taken), "is what is to be converted, and would be overwritten", remedy: "name another file")
    }
    if target.pathExtension.lowercased() != form.fileEnding {
      Console.warn(
        "\(target.path): tools look for files of the form \(form.rawValue) by the ending .\(form.fileEnding)")
    }
    if card != nil, form != .webUICard {
      throw UserError(
        .usage, at: .option("card"), "a \(form.rawValue) file shows nothing", remedy: "--format webui-png")
    }
    for word in words where word.family == nil {
      let widths = word.rows.values.map { "\($0.shape.channels)" }.sorted().joined(separator: " and ")
      Console.warn(
        "'\(word.word)' has rows of width \(widths), which no Stable Diffusion has: only the model it is from takes it")
    }
    let picture = try card.map { try Picture(contentsOf: $0.url).captioned(words.first?.word ?? "") }
    if read.count > 1 { Console.warn("the metadata of \(read.count) files can't go into one: it is left out") }
    let metadata = read.count == 1 ? read[0].metadata : [:]
    let written = try form.write(words, metadata: metadata, picture: picture, to: target)
    for line in written.losses { Console.warn(line) }
    if json {
      try Console.json(
        Result(
          files: written.files.map(\.path), format: form.rawValue,
          words: words.map { Result.Word(word: $0.word, vectors: $0.vectors) }))
    } else {
      for file in written.files { try Console.result(file.path) }
    }
  }

  private func chosen(_ words: [EmbeddingFile], calling name: String?) throws(UserError) -> [EmbeddingFile] {
    var words = words
    if let word {
      words = words.filter { $0.word == word }
      if words.isEmpty {
        throw UserError(
          .usage, at: .option("word"), "the file holds no word '\(word)'",
          remedy: "'ti-gpu inspect' says which it holds")
      }
    }
    guard let name else { return words }
    guard words.count == 1, let only = words.first else {
      throw UserError(
        .usage, "\(words.count) words can't all be called '\(name)'", remedy: "choose one with --word")
    }
    return [EmbeddingFile(word: name, rows: only.rows)]
  }

  /// Form and file: as asked for, else by the ending.
  private func target(for words: [EmbeddingFile]) throws(UserError) -> (EmbeddingForm, URL) {
    var url = output.url
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue {
      guard let format else {
        throw UserError(.usage, at: .file(url), "a folder, whose ending says no form", remedy: "give --format")
      }
      let name = format == .diffusers || format == .diffusersPickle ? "learned_embeds" : words.first?.fileStem ?? "word"
      url = url.appendingPathComponent("\(name).\(format.fileEnding)")
      return (format, url)
    }
    if let format { return (format, url) }
    let isSDXL = words.contains { $0.rows.count > 1 }
    switch url.pathExtension.lowercased() {
    case "pt": return (.webUI, url)
    case "png": return (.webUICard, url)
    case "bin": return (.diffusersPickle, url)
    case "safetensors":
      if url.lastPathComponent == "learned_embeds.safetensors" { return (.diffusers, url) }
      return (isSDXL ? .encoders : .kohya, url)
    default:
      throw UserError(
        .usage, at: .file(url), "its ending says no form", remedy: "give --format, or .safetensors, .pt, .bin or .png")
    }
  }
}
