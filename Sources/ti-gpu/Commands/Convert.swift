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

  func run() throws {
    let (url, name) = try input.place()
    let read = try EmbeddingContents.all(at: url, warn: Console.warn)
    for note in read.flatMap(\.notes) { Console.warn(note) }
    let words = try chosen(read.flatMap(\.words), calling: name)
    let target = try WordTarget(output, format: format, words: words)
    if card != nil, target.form != .webUICard {
      throw UserError(
        .usage, at: .option("card"), "a \(target.form.rawValue) file shows nothing", remedy: "--format webui-png")
    }
    let picture = try card.map { try Picture(contentsOf: $0.url).captioned(words.first?.word ?? "") }
    if read.count > 1 { Console.warn("the metadata of \(read.count) files can't go into one: it is left out") }
    try target.write(
      words, metadata: read.count == 1 ? read[0].metadata : [:], from: read.flatMap(\.files), card: picture
    ).print(asJSON: json)
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
}
