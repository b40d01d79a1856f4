import ArgumentParser
import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors
import TextualInversion

extension ConceptKind: ExpressibleByArgument {}
extension LearningRateSchedule: ExpressibleByArgument {}
extension PictureFitting: ExpressibleByArgument {}

/// `ti-gpu train`: a word from pictures, or a run replayed from a trace.
struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Learns a word from pictures.",
    discussion: """
        ti-gpu train --model ./sd15 --images ./toy --token '<toy>' --initializer toy --kind object --output ./run

      Ctrl-C leaves a checkpoint; --resume goes on from it as if never stopped.
      With --replay, every draw comes from a trace and each step is held against it.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var device: DeviceOptions
  @OptionGroup(title: "Training") var training: TrainingOptions

  @Option(help: ArgumentHelp("The pictures' folder, or demo:NAME for an example concept.", valueName: "folder"))
  var images: String?
  @Option(help: ArgumentHelp("Where the results go.", valueName: "folder"))
  var output: String
  @Option(help: "Steps from one checkpoint to the next.")
  var checkpointEvery = 500
  @Option(help: ArgumentHelp("Go on with the run in this folder.", valueName: "folder"))
  var resume: String?
  @Option(help: ArgumentHelp("A trace to replay instead of pictures.", valueName: "trace"))
  var replay: String?
  @Option(help: "With --replay: exit with 1 where a relative error is larger.")
  var replayTolerance: Double?
  @Flag(help: "Print JSON on standard output.")
  var json = false

  func validate() throws {
    guard checkpointEvery >= 1 else {
      throw ValidationError("--checkpoint-every must be at least 1, not \(checkpointEvery)")
    }
    guard replay != nil || images != nil else { throw ValidationError("--images is missing: a folder of pictures") }
    guard replay == nil || resume == nil else { throw ValidationError("a replay can't be resumed") }
    guard replayTolerance.map({ $0 >= 0 && replay != nil }) ?? true else {
      throw ValidationError("--replay-tolerance is a number from 0 that goes with --replay")
    }
  }

  func run() throws {
    if let replay {
      try device.run(ReplayWork(command: self, trace: URL(fileURLWithPath: replay)))
    } else {
      try device.run(TrainWork(command: self, interrupt: Interrupt("Saving a checkpoint and stopping ...")))
    }
  }
}

/// Training from pictures.
private struct TrainWork: BackendWork {
  let command: Train
  let interrupt: Interrupt

  private struct Result: Encodable {
    let embedding: String
    let stepsDone: Int
    let finished: Bool
    let finalLoss: Float?
    let seconds: Double
    let peakBytes: Int
    let device: String
  }

  func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws {
    let start = Date()
    let model = try command.model.folder()
    let pictures = try ConceptFolder.url(command.images ?? "")
    let earlierFolder = command.resume.map { URL(fileURLWithPath: $0) }
    let checkpoint = try earlierFolder.flatMap { try Checkpoint.newest(in: $0) }
    if let earlierFolder, checkpoint == nil {
      Console.note("\(earlierFolder.path) has no checkpoint yet: starting from the beginning")
    }
    // Unless said otherwise, a run goes on as it was started, on whatever device.
    let isChosen = command.device.precision != .auto
    let settings = try command.training.settings(
      resuming: checkpoint?.settings, precision: isChosen ? precision : checkpoint?.settings.precision ?? precision,
      nativeSide: StableDiffusionModel(model).shape.resolution)

    let run = try TrainingRun(
      model: model, pictures: pictures, settings: settings, output: URL(fileURLWithPath: command.output),
      resuming: checkpoint.flatMap { checkpoint in earlierFolder.map { ($0, checkpoint) } }, makeBackend: makeBackend,
      notice: Console.note)
    if run.firstStep > 0 { Console.note("Going on after step \(run.firstStep)") }
    Console.note(
      "Training '\(settings.placeholder.word)' (\(settings.placeholder.vectors) x \(run.width)) on "
        + "\(run.concept.pictures.count) pictures, on \(run.backend.name), \(settings.precision.rawValue)")

    let progress = ProgressLine(total: settings.steps, done: run.firstStep)
    var smoothed = RunningMean()
    var last: StepResult?
    let outcome = try run.run(
      checkpointEvery: command.checkpointEvery,
      observe: { result in
        last = result
        progress.update(result.step, String(format: "loss %.4f", smoothed.add(Double(result.loss))))
      },
      shouldStop: { interrupt.isRequested })
    progress.end()
    if command.json {
      try Console.json(
        Result(
          embedding: run.folder.embedding.path, stepsDone: last?.step ?? run.firstStep, finished: outcome == .finished,
          finalLoss: last?.loss, seconds: Date().timeIntervalSince(start), peakBytes: run.backend.memory.peakBytes,
          device: run.backend.name))
    } else {
      print(run.folder.embedding.path)
    }
    if outcome == .stopped {
      Console.note("Stopped; go on with: --resume \(run.folder.url.path)")
      throw ExitCode(Interrupt.exitCode)
    }
  }
}

/// Training from a trace.
private struct ReplayWork: BackendWork {
  let command: Train
  let trace: URL

  private struct Step: Encodable {
    let step: Int
    let loss: Float
    let errors: ReplayComparison?
  }

  private struct Result: Encodable {
    let steps: [Step]
    let maximum: ReplayComparison?
    let tolerance: Double?
    let device: String
    let precision: String
    let embedding: String
  }

  func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws {
    let word = try command.training.word()
    let run = try ReplayRun(
      model: command.model.folder(), trace: trace, placeholder: word, backend: makeBackend(precision))
    let folder = try RunFolder(URL(fileURLWithPath: command.output))
    Console.note("Replaying \(run.trace.steps) steps on \(run.backend.name), \(precision.rawValue)")
    var steps: [Step] = []
    let maximum = try run.run { result, errors in
      steps.append(Step(step: result.step, loss: result.loss, errors: errors))
      if !command.json { print("step \(result.step)  loss \(result.loss)\(errors.map { "  " + $0.line } ?? "")") }
    }
    try run.embedding().write(to: folder.embedding)
    if command.json {
      try Console.json(
        Result(
          steps: steps, maximum: maximum, tolerance: command.replayTolerance, device: run.backend.name,
          precision: precision.rawValue, embedding: folder.embedding.path))
    } else if let maximum {
      print("maximum  \(maximum.line)")
    }
    guard let tolerance = command.replayTolerance else { return }
    guard let maximum else {
      throw UserError(.badData, "\(trace.path) holds no expectations for --replay-tolerance to judge by")
    }
    // Written so that an error that is not a number fails too.
    guard maximum.largest <= tolerance else {
      Console.error("the largest relative error, \(maximum.largest), is over --replay-tolerance \(tolerance)")
      throw ExitCode(1)
    }
  }
}

extension ReplayComparison {
  /// The three errors in words.
  fileprivate var line: String {
    String(format: "error: loss %.2e, gradient %.2e, rows %.2e", loss, gradient, embedding)
  }
}
