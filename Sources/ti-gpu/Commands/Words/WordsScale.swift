import ArgumentParser
import Foundation
import ModelFiles
import StableDiffusion
import Tensors
import TextualInversion

/// `ti-gpu words scale`: a word with longer or shorter rows.
struct WordsScale: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scale", abstract: "Makes a word's rows longer or shorter.",
    discussion: """
        ti-gpu words scale toy.safetensors short.safetensors --model ./sd15
        ti-gpu words scale toy.safetensors half.safetensors --factor 0.5

      Rows far longer than a model's own words, as plain training leaves them, drown the rest of a prompt; with --model \
      they get the mean length of its vocabulary.
      """)

  @Argument(help: "A learned word's file of any kind, or FILE=WORD to call the new word.")
  var input: EmbeddingArgument
  @Argument(help: "The file to write; in a folder it is named by the word.")
  var output: PathArgument
  @Option(help: "How many times as long the rows become.")
  var factor: Double?
  @Option(help: "The length that every row gets.")
  var norm: Double?
  @Option(help: ArgumentHelp("The model whose vocabulary's mean length every row gets.", valueName: "model"))
  var model: PathArgument?
  @Option(help: "Whose form, as in convert; by the ending where none is given.")
  var format: EmbeddingForm?
  @Flag(help: "Print JSON on standard output.")
  var json = false

  func validate() throws {
    guard [factor != nil, norm != nil, model != nil].count(where: { $0 }) == 1 else {
      throw ValidationError("give one of --factor, --norm and --model")
    }
    for (name, value) in [("factor", factor), ("norm", norm)] {
      if let value, !(value > 0 && value < 1e6) {
        throw ValidationError("--\(name) must be above 0 and below a million, not \(value)")
      }
    }
  }

  func run() throws {
    let word = try input.onlyWord()
    let scaled: EmbeddingFile
    if let factor {
      scaled = try word.scaled(by: factor)
    } else if let norm {
      scaled = try word.scaled(toLength: word.rows.mapValues { _ in norm })
    } else {
      scaled = try word.scaled(toLength: lengths(for: word))
    }
    let contents = try word.url.map { try EmbeddingContents($0) }
    let isOnly = contents?.words.count == 1
    try WordTarget(output, format: format, words: [scaled]).write(
      [scaled], metadata: isOnly ? contents?.metadata ?? [:] : [:], from: contents?.files ?? []
    ).print(asJSON: json)
  }

  private func lengths(for word: EmbeddingFile) throws -> [Component: Double] {
    guard let name = model else { return [:] }
    let model = try StableDiffusionModel(ModelName.source(name.text))
    var lengths: [Component: Double] = [:]
    for (component, rows) in word.rows {
      guard let encoder = model.shape.textComponents.first(where: { $0.component == component }),
        encoder.configuration.width == rows.shape.channels
      else {
        throw UserError(
          .usage, at: .option("model"),
          "'\(word.word)' has rows of width \(rows.shape.channels) for \(component.rawValue), which this model has none of",
          remedy: "name the model that it was learned on")
      }
      let norms = try model.tokenTable(component).rowNorms
      lengths[component] = norms.reduce(0.0) { $0 + Double($1) } / Double(max(1, norms.count))
    }
    return lengths
  }
}
