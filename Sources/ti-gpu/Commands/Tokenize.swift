import ArgumentParser
import Foundation
import ModelFiles
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

      Where the two text encoders of an SDXL model read a prompt otherwise, both are shown.
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
  @Option(help: "Of SDXL's two text encoders, whose tokens to show (both where they differ; with --json clip-l).")
  var encoder: TrainedEncoders = .both
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

  /// One of the model's text encoders, as far as tokens go.
  private struct Reader {
    let component: Component
    let tokenizer: CLIPTokenizer
    let names: [String]
  }

  func run() throws {
    let embeddings = try EmbeddingArgument.words(embedding)
    let readers = try readers(embeddings)
    let words = embeddings.wordsByName
    var hasWarned = false
    func show(_ prompt: String) throws {
      let weighted = weights ? WeightedPrompt(prompt).naming(words) : nil
      weighted?.warnings.forEach(Console.warn)
      let tables = readers.map { reader in
        weighted.map { TokenTable(prompt, chunks: reader.tokenizer.chunks($0), reader.tokenizer) }
          ?? TokenTable(prompt, reader.tokenizer)
      }
      if json {
        if !hasWarned, Set(tables.map(\.json)).count > 1 {
          hasWarned = true
          Console.warn(
            "the model's two text encoders read \(quoted(prompt)) otherwise: these are the first one's, --encoder clip-g prints "
              + "the second one's")
        }
        return try Console.result(tables[0].json)
      }
      let shown = zip(tables, readers).map { $0.lines(names: $1.names) }
      if Set(shown).count == 1 { return try Console.result(shown[0].joined(separator: "\n")) }
      for (lines, reader) in zip(shown, readers) {
        try Console.result((["\(reader.component.rawValue):"] + lines).joined(separator: "\n"))
      }
    }
    if let prompt { return try show(prompt) }
    try StandardInput.lines { line throws in try show(line) }
  }

  /// The text encoders that were asked for, at least one, with the words known to their tokenizers.
  private func readers(_ embeddings: [EmbeddingFile]) throws(UserError) -> [Reader] {
    let source: StableDiffusionModel? =
      if let model { try StableDiffusionModel(ModelName.source(model.text)) } else { nil }
    let components = source?.shape.textComponents.map(\.component) ?? [.textEncoder]
    let wanted = try encoder.among(components)
    var readers: [Reader] = []
    for component in components where wanted.contains(component) {
      var tokenizer = if let source { try source.tokenizer(component) } else { try CLIPTokenizer.builtIn() }
      for file in embeddings {
        // A word for another kind of model is shown as a word of that.
        let isOfModel = source != nil && components.contains { file.rows[$0] != nil }
        do throws(UserError) {
          tokenizer = try tokenizer.adding(
            file, vectors: isOfModel ? file.rows[component]?.shape.rows ?? 0 : nil)
        } catch { throw file.url.map { error.at(.file($0)) } ?? error }
      }
      readers.append(Reader(component: component, tokenizer: tokenizer, names: json ? [] : tokenizer.names))
    }
    return readers
  }
}
