import ArgumentParser
import Foundation
import Operators
import Tensors
import TextualInversion

/// `ti-gpu check`: what `train` would do with the same options, and what it would cost.
struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Says what train would learn from, and what it would cost.",
    discussion: """
        ti-gpu check --model ./sd15 --images ./toy --token '<toy>' --initializer toy

      Takes the options of train. A few steps are tried, whose time and memory it tells; words to start from are \
      not looked for. With --no-trial \
      pictures, captions and sentences are looked at and no model's weights are read.
      """)

  @OptionGroup var train: Train
  @Flag(inversion: .prefixedNo, help: "Try a few steps.")
  var trial = true

  func validate() throws {
    if train.resume != nil || train.replay != nil {
      throw ValidationError("check looks at runs that are still to begin: leave out --resume and --replay")
    }
  }

  func run() throws {
    let parent = FileManager.default.temporaryDirectory.appendingPathComponent("ti-gpu-check-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: parent) }
    if let output = train.output { _ = try RunFolder(new: output.url, overwriting: train.overwrite) }
    try train.device.run(
      CheckWork(
        training: TrainWork(
          command: train, folder: RunFolder(new: parent), device: "\(train.device.device)",
          interrupt: Interrupt("Stopping ..."), isTrial: true),
        triesSteps: trial))
  }
}

private struct CheckWork: BackendWork {
  let training: TrainWork
  let triesSteps: Bool

  func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws {
    var limit: Int?
    let run = try training.makeRun(precision: precision) { precision in
      let backend = try makeBackend(precision)
      limit = backend.memory.limitBytes
      return backend
    }
    var preflight = run.preflight
    run.warnings.forEach(Console.warn)
    if triesSteps {
      let trial = TrialObserver()
      _ = try run.run([trial, InterruptObserver(training.interrupt)], findsWords: false)
      guard let seconds = trial.secondsPerStep else { throw CancellationError() }
      preflight.trial = try Preflight.Trial(
        device: trial.device, secondsPerStep: seconds, of: run.settings, peakBytes: run.peakBytes, limitBytes: limit,
        plan: run.memoryPlan().line)
    }
    if training.command.json { return try Console.json(preflight) }
    for line in preflight.lines { try Console.result(line) }
  }
}

/// Stops a run behind its third step; the first, which settles buffers and programs, is not counted.
private final class TrialObserver: RunObserver {
  private var seconds: [Double] = []
  private(set) var device = ""

  /// The quickest of the steps: what disturbs one makes it longer, never shorter.
  var secondsPerStep: Double? { (seconds.count > 1 ? seconds.dropFirst() : seconds[...]).min() }

  func observe(_ event: RunEvent, of run: RunContext) {
    switch event {
    case .encoded(0, let total): Console.note("Encoding \(total) pictures ...")
    case .started(let device):
      self.device = device
      Console.note("Trying a few steps ...")
    case .stepped(let result):
      seconds.append(result.seconds)
      if seconds.count == 3 { run.requestStop() }
    default: break
    }
  }
}
