import ArgumentParser
import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors
import TextualInversion

extension ConceptKind: ExpressibleByArgument {}
extension LearningRateSchedule: ExpressibleByArgument {}
extension TrainingMethod: ExpressibleByArgument {}
extension PictureFitting: ExpressibleByArgument {}
extension TrainedEncoders: ExpressibleByArgument {}
extension TextPooling: ExpressibleByArgument {}

/// `ti-gpu train`: a word from pictures, or a run replayed from a trace.
struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Learns a word from pictures.",
    discussion: """
        ti-gpu train --model ./sd15 --images ./toy --token '<toy>' --output ./run

      Ctrl-C saves and stops; --resume ./run goes on as if never stopped.
      With --replay, every draw comes from a trace and each step is held against it.
      """)

  @Option(help: ModelName.help)
  var model: PathArgument?
  @OptionGroup(title: "Model") var reading: ModelReadingOptions
  @OptionGroup var device: DeviceOptions
  @OptionGroup(title: "Training") var training: TrainingOptions
  @OptionGroup(title: "Pictures") var pictureSet: PictureSetOptions
  @OptionGroup(title: "Report") var report: ReportOptions
  @OptionGroup var memory: MemoryOption

  @Option(help: ArgumentHelp("The pictures' folder, or demo:NAME for an example concept.", valueName: "folder"))
  var images: PathArgument?
  @Option(help: ArgumentHelp("Where the results go.", valueName: "folder"))
  var output: PathArgument?
  @Flag(help: "Throw away the run that is in --output.")
  var overwrite = false
  @Option(help: "Steps from one checkpoint to the next (500).")
  var checkpointEvery: Int?
  @Option(help: "How many checkpoints are kept, the newest (3).")
  var keepCheckpoints: Int?
  @Option(
    help: ArgumentHelp("Go on with the run in this folder; it knows model, pictures and options.", valueName: "folder"))
  var resume: PathArgument?
  @Option(help: ArgumentHelp("A trace to replay instead of pictures.", valueName: "trace"))
  var replay: PathArgument?
  @Flag(help: "With --replay: start each step from the trace's rows and moments, so that errors do not compound.")
  var replayForced = false
  @Option(
    help: ArgumentHelp(
      "With --replay: exit with 1 where a relative error is larger. One number for all, or loss=X,gradient=Y,rows=Z (gradient_2, rows_2).",
      valueName: "error"))
  var replayTolerance: ReplayTolerance?
  @Flag(help: "Print JSON on standard output.")
  var json = false

  func validate() throws {
    func require(_ condition: Bool, _ message: String) throws {
      if !condition { throw ValidationError(message) }
    }
    try require(replay == nil || resume == nil, "a replay can't be resumed")
    try require(replay != nil || replayTolerance == nil, "--replay-tolerance goes with --replay")
    try require(replay != nil || !replayForced, "--replay-forced goes with --replay")
    if let resume {
      try require(!overwrite, "--overwrite throws a run away, --resume goes on with it: give one of them")
      try require(
        output.map { Self.isSameFolder($0, resume) } ?? true,
        "--output: a run goes on in its own folder; leave the option out, or copy the folder and resume the copy")
      return
    }
    if pictureSet.concepts != nil {
      try require(images == nil && training.token == nil, "--concepts takes the place of --images and --token")
      try require(replay == nil, "--concepts goes with pictures, not with --replay")
    }
    let missing = [
      ("--model (a model's folder, file or name, or 'demo')", model != nil),
      ("--images (a folder of pictures)", images != nil || pictureSet.concepts != nil || replay != nil),
      ("--token (the word to teach, such as '<toy>')", training.token != nil || pictureSet.concepts != nil),
    ].filter { !$0.1 }.map(\.0)
    try require(missing.isEmpty, "missing: \(missing.joined(separator: ", "))")
  }

  private static func isSameFolder(_ a: PathArgument, _ b: PathArgument) -> Bool {
    a.url.resolvingSymlinksInPath() == b.url.resolvingSymlinksInPath()
  }

  func run() throws {
    guard output != nil || resume != nil else {
      throw UserError(.usage, at: .option("output"), "is missing", remedy: "name a folder for the results")
    }
    if let replay, let model, let output {
      try device.run(ReplayWork(command: self, model: model.text, output: output.url, trace: replay.url))
    } else {
      let folder = try runFolder()
      var device = device
      if let earlier = folder.earlier?.report?.deviceChoice { try device.takeDefault(earlier) }
      try device.run(
        TrainWork(
          command: self, folder: folder, device: "\(device.device)", interrupt: Interrupt("Saving and stopping ...")))
    }
  }

  /// The folder of the run, new or gone on with.
  private func runFolder() throws(UserError) -> RunFolder {
    if let resume { return try RunFolder(resuming: resume.url, warn: Console.warn) }
    guard let output else { throw UserError(.usage, "--output is missing: a folder for the results") }
    return try RunFolder(new: output.url, overwriting: overwrite)
  }
}

/// Training from pictures.
struct TrainWork: BackendWork {
  let command: Train
  let folder: RunFolder
  /// The device as it was named.
  let device: String
  let interrupt: Interrupt
  /// Whether a few steps are tried and nothing is kept.
  var isTrial = false

  private struct Result: Encodable {
    let embedding: String?
    let report: String?
    let word: String
    let stepsDone: Int
    let finished: Bool
    let finalLoss: Float?
    /// That of the word that the run leaves.
    let heldOutLoss: Float?
    let initialHeldOutLoss: Float?
    let verdict: HeldOutConclusion.Verdict?
    let seconds: Double
    let peakBytes: Int
    let device: String?
    let seed: UInt64
  }

  /// Sets the run up as it was asked for.
  func makeRun<B: Backend>(
    precision: ElementType, makeBackend: @escaping (ElementType) throws -> B
  ) throws -> TrainingRun<B> {
    let earlier = folder.earlier
    let source = RunSource(
      model: ModelName.lasting(
        try named(command.model?.text, earlier?.report?.model, "--model: the model's folder or file")),
      pictures: try named(
        command.pictureSet.concepts?.text ?? command.images?.text, earlier?.report?.pictures,
        "--images: the pictures' folder", ConceptFolder.isBuiltIn),
      masks: command.pictureSet.masks.map { $0.url.standardizedFileURL.path } ?? earlier?.report?.masks, device: device,
      reading: command.reading.reading(earlier: earlier?.report?.reading))
    let model = try ModelName.source(source.model, reading: source.reading)
    // Unless said otherwise, a run goes on as it was started, on whatever device.
    let isChosen = command.device.precision != .auto
    let concepts = try command.pictureSet.concepts.map { (path) throws(UserError) in
      let found = try TaughtFolder.found(in: path.url, warn: Console.warn)
      for start in found.compactMap(\.initializer) + [command.training.initializer].compactMap(\.self)
      where InitialFile.isMeant(by: start) {
        throw UserError(
          .usage, at: .option("initializer"), "'\(start)' is a file, and several words start from words",
          remedy: "name them behind the words in the folders' names ('my-toy red toy'), or teach one word at a time")
      }
      return found
    }
    var training = command.training
    if let first = concepts?.first {
      training.token = first.concept.word
      training.initializer = first.initializer ?? training.initializer
    }
    var settings = try training.settings(
      resuming: earlier?.settings, pictureSet: command.pictureSet,
      precision: isChosen ? precision : earlier?.settings?.precision ?? precision,
      nativeSide: StableDiffusionModel(model).shape.resolution)
    if let concepts { try settings.teach(concepts, startingFrom: command.training.initializer) }
    var checkpoints = CheckpointPolicy()
    if let earlier = earlier?.report { checkpoints.every = earlier.checkpointEvery ?? checkpoints.every }
    checkpoints.every = command.checkpointEvery ?? checkpoints.every
    checkpoints.keep = command.keepCheckpoints ?? earlier?.report?.keepCheckpoints ?? checkpoints.keep

    return try TrainingRun(
      model: model, pictures: ConceptFolder.url(source.pictures), masks: source.masks.map { URL(fileURLWithPath: $0) },
      settings: settings, folder: folder, checkpoints: checkpoints, source: source,
      report: isTrial ? ReportPolicy() : command.report.policy(resuming: earlier?.report),
      latentFolder: command.pictureSet.latentCache ? LatentFiles.standardFolder() : nil,
      memoryBudget: command.memory.bytes, makeBackend: makeBackend)
  }

  func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws {
    let start = Date()
    let watching = try command.report.startServing()
    let run = try makeRun(precision: precision, makeBackend: makeBackend)
    let settings = run.settings
    run.preflight.lines.forEach(Console.note)
    if run.firstStep < run.lastStep { Console.note("memory: \(try run.memoryPlan().line)") }
    let progress = ProgressObserver(pictures: run.concept.pictures.count)
    if run.firstStep >= run.lastStep {
      Console.note("The run is finished: \(run.firstStep) of \(run.lastStep) steps are done; more go on by --steps")
    }
    let outcome: TrainingRun<B>.Outcome
    let limit = try command.training.ending.maxMinutes.map { minutes throws(UserError) in
      try TimeLimit(minutes: minutes)
    }
    let observers: [any RunObserver] = [progress, InterruptObserver(interrupt)] + (limit.map { [$0] } ?? []) + watching
    do { outcome = try run.run(observers) } catch {
      if run.stepsDone > 0 {
        Console.note(
          "The run ended after step \(run.stepsDone); the word as it was then is in \(folder.embedding.path), "
            + "--resume \(folder.url.path) goes on from there")
      }
      throw error
    }
    let embedding = run.stepsDone > 0 ? folder.embedding.path : nil
    if command.json {
      try Console.json(
        Result(
          embedding: embedding, report: embedding.map { _ in folder.page.path }, word: settings.placeholder.word,
          stepsDone: run.stepsDone, finished: outcome == .finished, finalLoss: progress.last?.loss,
          heldOutLoss: run.conclusion?.loss, initialHeldOutLoss: run.conclusion?.initial,
          verdict: run.conclusion?.verdict, seconds: Date().timeIntervalSince(start),
          peakBytes: run.peakBytes, device: progress.device, seed: settings.seed))
    } else if let embedding {
      try Console.result(embedding)
      Console.note("The whole run on a page: \(folder.page.path)")
      Console.note("It took \(MemoryUse.text(run.peakBytes)) of the device's memory")
    }
    if outcome == .stopped {
      Console.note("Stopped after step \(run.stepsDone); go on with: --resume \(folder.url.path)")
      throw ExitCode(Interrupt.exitCode)
    }
  }

  /// What was named on the command line or, for a run that goes on, in its report; a folder by its whole path, so that it is
  /// found from elsewhere as well.
  private func named(
    _ given: String?, _ earlier: String?, _ missing: String, _ staysAsItIs: (String) -> Bool = { _ in true }
  ) throws(UserError) -> String {
    guard let name = given ?? earlier else {
      throw UserError(.usage, at: .file(folder.report), "does not say \(missing)", remedy: "give it")
    }
    return staysAsItIs(name) ? name : URL(fileURLWithPath: name).standardizedFileURL.path
  }
}

/// Training from a trace.
private struct ReplayWork: BackendWork {
  let command: Train
  let model: String
  let output: URL
  let trace: URL

  private struct Step: Encodable {
    let step: Int
    let loss: Float
    let errors: ReplayComparison?
  }

  private struct Result: Encodable {
    let steps: [Step]
    let maximum: ReplayComparison?
    let mode: ReplayMode
    let tolerance: ReplayTolerance?
    let device: String
    let precision: String
    let embedding: String
  }

  func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws {
    let word = try command.training.word()
    let run = try ReplayRun(
      model: ModelName.source(model, reading: command.reading.reading()), trace: trace, placeholder: word,
      backend: makeBackend(precision))
    let folder = try RunFolder(new: output, overwriting: command.overwrite)
    try folder.take()
    try folder.clear()
    Console.note("Replaying \(run.trace.steps) steps on \(run.backend.name), \(precision.rawValue)")
    var steps: [Step] = []
    let mode = command.replayForced ? ReplayMode.forced : .free
    let maximum = try run.run(mode) { result, errors in
      steps.append(Step(step: result.step, loss: result.loss, errors: errors))
      if !command.json {
        try Console.result("step \(result.step)  loss \(result.loss)\(errors.map { "  " + $0.line } ?? "")")
      }
    }
    try folder.write([run.embedding()]) { _ in [:] }
    if command.json {
      try Console.json(
        Result(
          steps: steps, maximum: maximum, mode: mode, tolerance: command.replayTolerance, device: run.backend.name,
          precision: precision.rawValue, embedding: folder.embedding.path))
    } else if let maximum {
      try Console.result("maximum  \(maximum.line)")
    }
    guard let tolerance = command.replayTolerance else { return }
    guard let maximum else {
      throw UserError(.badData, at: .file(trace), "holds no expectations for --replay-tolerance to judge by")
    }
    let excesses = tolerance.excesses(of: maximum)
    for line in excesses { Console.error(line) }
    if !excesses.isEmpty { throw ExitCode(1) }
  }
}

extension ReplayComparison {
  /// The errors in words.
  fileprivate var line: String {
    "error: "
      + errors.sorted { $0.key < $1.key }.map { "\($0.key.name) \(String(format: "%.2e", $0.value))" }
      .joined(separator: ", ")
  }
}
