import ArgumentParser
import Foundation
import StableDiffusion
import Tensors
import TextualInversion

/// `ti-gpu tokenize`: prompts as the text encoder sees them.
struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows the tokens that a prompt becomes.",
    discussion: """
        ti-gpu tokenize --model ./sd15 --embedding run/learned_embeds.safetensors \\
          'a photo of <toy> on a beach'
        ti-gpu tokenize --json < prompts.txt > tokens.jsonl
      """)

  @Option(
    help: ArgumentHelp(
      "The model whose tokenizer is asked, as in `generate`; without it, CLIP's own, that Stable Diffusion has.",
      valueName: "folder"))
  var model: PathArgument?
  @Option(
    help: ArgumentHelp(
      "A learned word's file, or FILE=WORD to call the word otherwise; may be given several times.", valueName: "file"))
  var embedding: [EmbeddingArgument] = []
  @Flag(help: "Read weights, `embedding:NAME` and BREAK as `generate` does, and split into its chunks.")
  var weights = false
  @Flag(
    help: """
      Print one array of token numbers a line on standard output: start and end included, without padding, whole where it \
      is longer than the text encoder takes.
      """)
  var json = false
  @Argument(help: "The prompt; without it, one a line from standard input.")
  var prompt: String?

  func run() throws {
    var tokenizer = try model.map { try StableDiffusionModel(ModelName.source($0.text)).tokenizer() } ?? .builtIn()
    let embeddings = try EmbeddingArgument.words(embedding)
    for file in embeddings {
      do throws(UserError) { tokenizer = try tokenizer.adding(file) } catch {
        throw file.url.map { error.at(.file($0)) } ?? error
      }
    }
    let words = embeddings.wordsByName
    let names = json ? [] : tokenizer.names
    func show(_ prompt: String) throws {
      var table = TokenTable(prompt, tokenizer)
      if weights {
        let weighted = WeightedPrompt(prompt).naming(words)
        weighted.warnings.forEach(Console.warn)
        table = TokenTable(prompt, chunks: tokenizer.chunks(weighted), tokenizer)
      }
      try Console.result(json ? table.json : table.lines(names: names).joined(separator: "\n"))
    }
    if let prompt { return try show(prompt) }
    try StandardInput.lines { line throws in try show(line) }
  }
}
