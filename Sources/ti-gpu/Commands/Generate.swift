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
  @Option(help: ArgumentHelp("A learned word's file; may be given several times.", valueName: "file"))
  var embedding: [PathArgument] = []
  @Option(help: "How noise is taken away.")
  var sampler = SamplerKind.ddim
  @Option(help: "Steps from noise to picture.")
  var steps = 30
  @Option(help: "How strongly the prompt is followed; 1 is without guidance.")
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
    guard count == 1 || !output.text.hasSuffix(".png") else {
      throw ValidationError("--count \(count) makes several pictures: --output must be a folder, not a .png file")
    }
  }

  func run() throws {
    try device.run(Work(command: self, interrupt: Interrupt("Stopping ...")))
  }

  private struct Result: Encodable {
    let files: [String]
    let sheet: String?
    let seconds: Double
    let device: String
    let seed: UInt64
  }

  private struct Work: BackendWork {
    let command: Generate
    let interrupt: Interrupt

    func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws {
      let start = Date()
      let folder = try command.model.folder()
      let embeddings = try command.embedding.map { try EmbeddingFile($0.url) }
      let given = try command.latents.map { try InitialLatents($0.url) }
      let target = try PictureTarget(command.output.text)
      let generator = try Generator(
        model: folder, embeddings: embeddings, precision: precision, makeBackend: makeBackend)
      var settings = GenerationSettings(
        prompt: command.prompt, width: command.width ?? generator.nativeSide,
        height: command.height ?? generator.nativeSide)
      settings.negativePrompt = command.negativePrompt
      settings.sampler = command.sampler
      settings.steps = command.steps
      settings.guidance = command.guidance
      let shape = try generator.latentShape(settings)
      let progress = ProgressLine(total: command.count * command.steps)

      let seed = command.seed.value()
      var pictures: [Picture] = []
      var files: [URL] = []
      for index in 0..<command.count {
        settings.seed = seed &+ UInt64(index)
        let picture = try generator.picture(
          settings, latents: given?.latents(index, shape: shape), notice: index == 0 ? Console.note : { _ in },
          progress: { progress.update(index * command.steps + $0, "picture \(index + 1)/\(command.count)") },
          shouldStop: { interrupt.isRequested })
        let file = target.file(index: index, seed: settings.seed)
        try AtomicFile.write(
          picture.encodedPNG(text: ["parameters": settings.parameters(model: command.model.name)]), to: file)
        pictures.append(picture)
        files.append(file)
      }
      let sheet = try target.sheet.map { url in
        try AtomicFile.write(
          ContactSheet(
            title: command.prompt, rows: pictures.rows(of: 4).map { ContactSheet.Row("", $0) }
          ).picture.encodedPNG(), to: url)
        return url
      }
      if command.json {
        try Console.json(
          Result(
            files: files.map(\.path), sheet: sheet?.path, seconds: Date().timeIntervalSince(start),
            device: try makeBackend(precision).name, seed: seed))
      } else {
        for file in files + [sheet].compactMap({ $0 }) { try Console.result(file.path) }
      }
    }
  }
}

extension Array {
  /// The elements in rows of `count`; the last may be shorter.
  fileprivate func rows(of count: Int) -> [[Element]] {
    stride(from: 0, to: self.count, by: count).map { Array(self[$0..<Swift.min($0 + count, self.count)]) }
  }
}

/// `--output` of pictures: a `.png` file, or a folder that is made where it is missing.
struct PictureTarget {
  private let url: URL
  private let isFolder: Bool

  init(_ path: String) throws(UserError) {
    url = URL(fileURLWithPath: path)
    isFolder = !path.lowercased().hasSuffix(".png")
    if isFolder {
      try AtomicFile.makeFolder(url)
    } else {
      let folder = url.deletingLastPathComponent()
      guard FileManager.default.isWritableFile(atPath: folder.path) else {
        throw UserError(.cannotCreate, "\(folder.path): no folder that can be written into; make it first")
      }
    }
  }

  /// Where picture number `index` goes.
  func file(index: Int, seed: UInt64) -> URL {
    isFolder ? url.appendingPathComponent("picture-\(index + 1)-seed-\(seed).png") : url
  }

  /// Where several pictures are shown side by side.
  var sheet: URL? { isFolder ? url.appendingPathComponent("sheet.png") : nil }
}

/// `--latents`: noise to start from, `[count, channels, height, width]` as diffusers has it.
struct InitialLatents {
  private let file: URL
  private let tensor: HostTensor

  init(_ file: URL) throws(UserError) {
    self.file = file
    tensor = try SafetensorsFile(file).tensor("latents")
    guard tensor.shape.rank == 4, tensor.shape.count > 0 else {
      throw UserError(.badData, "\(file.path): latents is \(tensor.shape), not [count, channels, height, width]")
    }
  }

  /// The latents of picture `index`, `shape` being `[height, width, channels]`; the last are used again where there are fewer.
  func latents(_ index: Int, shape: Shape) throws(UserError) -> HostTensor {
    guard Array(tensor.shape.dimensions.dropFirst()) == [shape[2], shape[0], shape[1]] else {
      throw UserError(
        .badData,
        "\(file.path): latents is \(tensor.shape); this picture takes [count, \(shape[2]), \(shape[0]), \(shape[1])]")
    }
    let picture = min(index, tensor.shape[0] - 1)
    let values = Array(tensor.values[picture * shape.count..<(picture + 1) * shape.count])
    return HostTensor([shape[2], shape[0], shape[1]], values).transposed([1, 2, 0])
  }
}
