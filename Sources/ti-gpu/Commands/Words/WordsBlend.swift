import ArgumentParser
import Foundation
import Tensors
import TextualInversion

/// `ti-gpu words blend`: a word between two.
struct WordsBlend: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "blend", abstract: "Makes a word between two: rows turned from the one's to the other's.",
    discussion: """
        ti-gpu words blend cat.safetensors=catdog dog.safetensors catdog.safetensors --weight 0.4

      Rows of the same number go together, for each text encoder: their directions by spherical interpolation, their \
      lengths between the two. The word is called as the first one, unless FILE=WORD says otherwise.
      """)

  @Argument(help: "A learned word's file of any kind, or FILE=WORD to call the new word.")
  var first: EmbeddingArgument
  @Argument(help: "The other's.")
  var second: EmbeddingArgument
  @Argument(help: "The file to write; in a folder it is named by the word.")
  var output: PathArgument
  @Option(help: "The second's share, from 0 to 1.")
  var weight = 0.5
  @Option(help: "Whose form, as in convert; by the ending where none is given.")
  var format: EmbeddingForm?
  @Flag(help: "Print JSON on standard output.")
  var json = false

  func run() throws {
    let (a, b) = (try first.onlyWord(), try second.onlyWord())
    let word = try a.blended(with: b, weight: weight)
    try WordTarget(output, format: format, words: [word]).write(
      [word], metadata: ["ti-gpu.blend": "\(a.word) and \(b.word), \(weight)"], from: [a.url, b.url].compactMap(\.self)
    ).print(asJSON: json)
  }
}
