import ArgumentParser
import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors
import TextualInversion

/// `ti-gpu words find`: a model's own words for pictures.
struct WordsFind: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "find",
    abstract: "Finds the model's own words for pictures.",
    discussion: """
        ti-gpu words find --model ./sd15 --images ./toy

      What is found is what 'ti-gpu train' starts from where it is given no --initializer.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var device: DeviceOptions
  @Option(help: ArgumentHelp("The pictures' folder, or demo:NAME for an example concept.", valueName: "folder"))
  var images: PathArgument
  @Option(help: "How many words to find (4).")
  var vectors: Int?
  @Option(help: "What the pictures show (object); a subject is a person or an animal.")
  var kind: ConceptKind?
  @Option(help: "The pictures' side in pixels (the model's own).")
  var resolution: Int?
  @Option(help: "How pictures become squares: by their middle, or squashed (crop).")
  var fit: PictureFitting?
  @Option(help: "What the draws come from that words are held against (0): \(Seed.help).")
  var seed: Seed?
  @Flag(help: "Print JSON on standard output.")
  var json = false

  func run() throws { try device.run(Work(command: self, interrupt: Interrupt("Stopping ..."))) }

  private struct Work: BackendWork {
    let command: WordsFind
    let interrupt: Interrupt

    func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws {
      let model = try command.model.source()
      let defaults = TrainingMethod.spherical.defaults
      var settings = TrainingSettings(
        // A word that no vocabulary has.
        placeholder: try Placeholder("<ti-gpu-own-words>", vectors: command.vectors ?? defaults.vectors),
        kind: command.kind ?? .object, resolution: try StableDiffusionModel(model).shape.resolution,
        precision: precision)
      settings.resolution = command.resolution ?? settings.resolution
      settings.fitting = command.fit ?? settings.fitting
      settings.seed = command.seed?.value() ?? settings.seed
      let pictures = try PictureWords(
        model: model, pictures: ConceptFolder.url(command.images.text), settings: settings, makeBackend: makeBackend)
      pictures.concept.warnings.forEach(Console.warn)
      Console.note("Looking for words for \(pictures.concept.pictures.count) pictures ...")
      var last = ""
      let found = try pictures.find(shouldStop: { interrupt.isRequested }) { words in
        if words.text != last { Console.note(String(format: "  loss %.5f  ", words.loss) + words.text) }
        last = words.text
      }
      guard let found else { throw CancellationError() }
      if command.json { return try Console.json(found) }
      try Console.result(found.text)
      for word in found.words {
        try Console.result(
          "  " + word.text.padding(toLength: max(16, word.text.count), withPad: " ", startingAt: 0)
            + String(format: "  %+.5f", word.gain ?? 0))
      }
      try Console.result(
        String(
          format: "Loss %.5f with all of them, %.5f with none; a word's number is what it takes off.", found.loss,
          found.lossOfNone))
    }
  }
}
