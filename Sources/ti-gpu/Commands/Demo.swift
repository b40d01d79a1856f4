import ArgumentParser
import DemoModel
import Foundation
import Images
import ModelFiles
import Operators
import Tensors
import TextualInversion

extension DemoConcept: ExpressibleByArgument {}

/// `ti-gpu demo`: the whole job on the built-in model, from five pictures to a sheet of before and after.
struct Demo: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Learns a word from five pictures on the built-in model, and shows what came of it.",
    discussion: "  ti-gpu demo --concept night-tree --output night-tree")

  @OptionGroup var device: DeviceOptions

  @Option(help: "The example to learn.")
  var concept = DemoConcept.myCat
  @Option(help: ArgumentHelp("Where the results go.", valueName: "folder"))
  var output: PathArgument = "demo-output"
  @Option(help: "What every random draw comes from: \(Seed.help).")
  var seed: Seed = 0
  @Flag(help: "Print JSON on standard output.")
  var json = false

  func run() throws {
    try device.run(Work(command: self, interrupt: Interrupt("Stopping ...")))
  }

  private struct Result: Encodable {
    let embedding: String
    let lossCurve: String
    let sheet: String
    let report: String
    let trainingSeconds: Double
    let seconds: Double
    let seed: UInt64
  }

  private struct Work: BackendWork {
    let command: Demo
    let interrupt: Interrupt

    func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws {
      let start = Date()
      let model = try DiffusersFolder(DemoModel.model)
      let seed = command.seed.value()
      let settings = try command.concept.settings(seed: seed, precision: precision)
      // The demo's folder is its own: it is made anew each time.
      let folder = try RunFolder(new: command.output.url, overwriting: true)
      let run = try TrainingRun(
        model: model, pictures: command.concept.folder, settings: settings, folder: folder,
        source: RunSource(model: ModelName.builtIn, pictures: "demo:\(command.concept.rawValue)"),
        makeBackend: makeBackend)
      Console.note(
        "Teaching the word \(settings.placeholder.word) from \(run.concept.pictures.count) pictures of the example")
      let trainingStart = Date()
      let outcome = try run.run(
        [ProgressObserver(pictures: run.concept.pictures.count), InterruptObserver(interrupt)])
      let trainingSeconds = Date().timeIntervalSince(trainingStart)
      guard outcome == .finished else { throw CancellationError() }

      Console.note("Making pictures with the plain word and with the learned one ...")
      let generator = try Generator(
        model: model, embeddings: run.embeddings, precision: precision, makeBackend: makeBackend)
      let sheet = try BeforeAfterSheet(concept: command.concept, word: settings.placeholder.word)
        .picture(training: run.concept.pictures.map(\.picture), generator: generator, seed: seed) {
          interrupt.isRequested
        }
      let sheetFile = run.folder.url.appendingPathComponent("before-after.png")
      try AtomicFile.write(sheet.encodedPNG(), to: sheetFile)

      if command.json {
        try Console.json(
          Result(
            embedding: run.folder.embedding.path, lossCurve: run.folder.lossCurve.path, sheet: sheetFile.path,
            report: run.folder.page.path, trainingSeconds: trainingSeconds, seconds: Date().timeIntervalSince(start),
            seed: seed))
      } else {
        try Console.result("The learned word:  \(run.folder.embedding.path)")
        try Console.result("The loss curve:    \(run.folder.lossCurve.path)")
        try Console.result("Before and after:  \(sheetFile.path)")
        try Console.result("The whole run:     \(run.folder.page.path)")
      }
    }
  }
}

extension DemoConcept {
  /// The recipe as settings of a run.
  func settings(seed: UInt64, precision: ElementType) throws(UserError) -> TrainingSettings {
    guard let kind = ConceptKind(rawValue: recipe.kind) else {
      throw UserError(.badData, "the concept \(rawValue) is of no known kind: \(recipe.kind)")
    }
    var settings = TrainingSettings(
      placeholder: try Placeholder("<\(rawValue)>", vectors: TrainingMethod.quick.vectors),
      initializer: recipe.initializer, kind: kind, resolution: 64, precision: precision, defaults: TrainingMethod.quick)
    settings.seed = seed
    return settings
  }
}
