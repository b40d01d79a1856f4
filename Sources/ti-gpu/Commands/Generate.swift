import ArgumentParser
import Foundation
import Images
import ModelFiles
import Operators
import StableDiffusion
import Tensors
import TextualInversion

extension SamplerKind: ExpressibleByArgument {}

/// `ti-gpu generate`: pictures from a prompt.
struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes pictures from a prompt, with learned words in it.",
    discussion: """
        ti-gpu generate --model demo --embedding run/learned_embeds.safetensors \\
          --prompt 'a photo of <my-cat> on a green background' \\
          --count 4 --output pictures
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var device: DeviceOptions

  @Option(help: "What the picture shows.")
  var prompt: String
  @Option(help: "What the picture should not show.")
  var negativePrompt = ""
  @Option(
    help: ArgumentHelp(
      "A learned word's file of any kind, a folder of them, or FILE=WORD to call the word otherwise; may be given several times.",
      valueName: "file"))
  var embedding: [EmbeddingArgument] = []
  @Flag(
    help: """
      Take prompts as they stand. Else (word:1.2), (word) and [word] weigh, BREAK and more than 75 tokens make chunks, \
      embedding:NAME is a learned word, and \\( is a bracket, as in the web UIs.
      """)
  var plainPrompts = false
  @Option(help: "How noise is taken away.")
  var sampler = SamplerKind.ddim
  @Option(help: "Steps from noise to picture.")
  var steps = 30
  @Option(help: "How strongly the prompt is followed; 1 or less is without guidance.")
  var guidance: Float = 7.5
  @Option(help: "The first picture's seed, each further one takes the next: \(Seed.help).")
  var seed: Seed = 0
  @Option(help: "How many pictures.")
  var count = 1
  @Option(help: "Width in pixels; the model's own by default.")
  var width: Int?
  @Option(help: "Height in pixels; the model's own by default.")
  var height: Int?
  @Option(help: ArgumentHelp("Initial latents: a safetensors file with a tensor 'latents'.", valueName: "file"))
  var latents: PathArgument?
  @Option(help: ArgumentHelp("A .png file for one picture, a folder for several.", valueName: "path"))
  var output: PathArgument
  @Flag(help: "Print JSON on standard output.")
  var json = false

  func validate() throws {
    guard steps >= 1, steps <= 1000 else { throw ValidationError("--steps must be between 1 and 1000, not \(steps)") }
    guard count >= 1, count <= 1000 else { throw ValidationError("--count must be between 1 and 1000, not \(count)") }
    guard guidance.isFinite, guidance >= 0 else {
      throw ValidationError("--guidance must be 0 or more, not \(guidance)")
    }
    for (name, side) in [("--width", width), ("--height", height)] {
      if let side, side < 8 { throw ValidationError("\(name) must be at least 8, not \(side)") }
    }
    try PictureTarget.check(output.text, count: count)
  }

  func run() throws {
    try device.run(Work(command: self, interrupt: Interrupt("Stopping ...")))
  }

  private struct Result: Encodable {
    struct File: Encodable {
      let file: String
      let seed: UInt64
    }

    struct Word: Encodable {
      let word: String
      let vectors: Int
      let file: String?
      let promptTokens: [Int]
      let negativePromptTokens: [Int]
      let cut: Int

      init(_ use: WordUse) {
        word = use.word
        vectors = use.vectors
        file = use.file
        promptTokens = use.prompt
        negativePromptTokens = use.negativePrompt
        cut = use.cut
      }
    }

    var finished = false
    var pictures: [File] = []
    var sheet: String?
    var words: [Word] = []
    var device: String?
    let seed: UInt64
    var seconds = 0.0
  }

  /// Makes the pictures; what was made until the program is asked to stop stays, and is reported.
  private struct Work: BackendWork {
    let command: Generate
    let interrupt: Interrupt

    func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws {
      let start = Date()
      let model = try command.model.source()
      let embeddings = try EmbeddingArgument.words(command.embedding)
      let latents = try command.latents.map { try InitialLatents($0.url) }
      let target = try PictureTarget(command.output.text)
      var result = Result(seed: command.seed.value())
      _ = try StableDiffusionModel(model).sampler(command.sampler, steps: command.steps)
      do {
        let generator = try Generator(
          model: model, embeddings: embeddings, precision: precision, makeBackend: makeBackend,
          shouldStop: { interrupt.isRequested })
        try draw(with: generator, from: latents, to: target, &result)
        result.finished = true
      } catch is CancellationError {}
      result.seconds = Date().timeIntervalSince(start)
      if command.json {
        try Console.json(result)
      } else {
        for file in result.pictures.map(\.file) + [result.sheet].compactMap({ $0 }) { try Console.result(file) }
      }
      if !result.finished { throw CancellationError() }
    }

    private func draw<B: Backend>(
      with generator: Generator<B>, from latents: InitialLatents?, to target: PictureTarget, _ result: inout Result
    ) throws {
      var settings = GenerationSettings(
        prompt: command.prompt, width: command.width ?? generator.nativeSide,
        height: command.height ?? generator.nativeSide)
      settings.negativePrompt = command.negativePrompt
      settings.plainPrompts = command.plainPrompts
      settings.sampler = command.sampler
      settings.steps = command.steps
      settings.guidance = command.guidance
      let shape = try generator.latentShape(settings)
      result.device = generator.deviceName
      let uses = generator.uses(settings)
      result.words = uses.map { Result.Word($0) }
      for use in uses where use.isUsed { Console.note("\(use)") }
      if let warning = latents?.warning(pictures: command.count) { Console.warn(warning) }

      let progress = ProgressLine(total: command.count * command.steps)
      var pictures: [Picture] = []
      for index in 0..<command.count {
        settings.seed = result.seed &+ UInt64(index)
        let picture = try generator.picture(
          settings, latents: latents?.latents(index, shape: shape), warn: index == 0 ? Console.warn : { _ in },
          progress: { progress.update(index * command.steps + $0, "picture \(index + 1)/\(command.count)") },
          shouldStop: { interrupt.isRequested })
        let data = try picture.encodedPNG(text: ["parameters": settings.parameters(model: command.model.name)])
        let file = try target.write(picture: data, seed: settings.seed)
        result.pictures.append(Result.File(file: file.path, seed: settings.seed))
        pictures.append(picture)
      }
      let sheet = ContactSheet(title: command.prompt, rows: pictures.rows(of: 4).map { ContactSheet.Row("", $0) })
      result.sheet = try target.write(sheet: sheet)?.path
    }
  }
}

extension Array {
  /// The elements in rows of `count`; the last may be shorter.
  fileprivate func rows(of count: Int) -> [[Element]] {
    stride(from: 0, to: self.count, by: count).map { Array(self[$0..<Swift.min($0 + count, self.count)]) }
  }
}
