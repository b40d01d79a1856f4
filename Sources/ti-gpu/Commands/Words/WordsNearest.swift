import ArgumentParser
import Foundation
import StableDiffusion
import Tensors
import TextualInversion

/// `ti-gpu words nearest`: what a model's vocabulary has near a learned word.
struct WordsNearest: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nearest", abstract: "Says which words of a model's vocabulary a learned word's rows point to.",
    discussion: "  ti-gpu words nearest toy.safetensors --model ./sd15")

  @Argument(help: "Learned words' files of any kind, or folders of such.")
  var files: [EmbeddingArgument]
  @Option(help: ModelName.help)
  var model: PathArgument
  @Option(help: "How many words for each row.")
  var count = 10
  @Flag(help: "Print JSON on standard output.")
  var json = false

  func validate() throws {
    guard (1...1000).contains(count) else {
      throw ValidationError("--count must be between 1 and 1000, not \(count)")
    }
  }

  private struct Result: Encodable { let words: [FileReport.Word] }

  func run() throws {
    let model = try StableDiffusionModel(ModelName.source(model.text))
    var neighbours = VocabularyNeighbours(model)
    let words = try EmbeddingArgument.words(files).map { word in
      FileReport.Word(word, rows: try neighbours.rows(of: word, count: count))
    }
    if json { return try Console.json(Result(words: words)) }
    for word in words {
      try Console.result("\(word.word), \(word.vectors) vector\(word.vectors == 1 ? "" : "s")")
      for rows in word.rows {
        try Console.result("  \(rows.encoder.rawValue)")
        for line in rows.nearestLines { try Console.result("    \(line)") }
      }
    }
  }
}
