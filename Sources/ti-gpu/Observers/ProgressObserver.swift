import Foundation
import TextualInversion

/// Says on the terminal how far a run is.
final class ProgressObserver: RunObserver {
  private let pictures: Int
  private var progress: ProgressLine?
  private var isSearching = false
  private var smoothed = RunningMean()
  private var hasSaidDecoder = false
  /// The last step that was seen.
  private(set) var last: StepResult?
  /// What computes.
  private(set) var device = ""

  /// - Parameter pictures: how many there are to learn from.
  init(pictures: Int) { self.pictures = pictures }

  func observe(_ event: RunEvent, of run: RunContext) {
    switch event {
    case .encoded(0, let total): Console.note("Encoding \(total) pictures ...")
    case .encoded(let done, let total) where done == total:
      Console.note("Loading the text encoder and the UNet ...")
    case .encoded, .checkpointed, .evaluated, .rolledBack: break
    case .searched:
      if !isSearching { Console.note("Looking for the model's own words for the pictures ...") }
      isSearching = true
    case .found(let words):
      Console.note(
        "Starting from \(words.text)" + String(format: " (loss %.4f, %.4f without them)", words.loss, words.lossOfNone))
    case .previewing(let done, let total): preview(done, of: total, run)
    case .previewed(_, let files):
      if !Console.isTerminal { Console.note("Drew \(files.map(\.path).joined(separator: ", "))") }
    case .started(let device):
      self.device = device
      let settings = run.settings
      if run.firstStep > 0 { Console.note("Going on after step \(run.firstStep)") }
      Console.note(
        "Training '\(settings.placeholder.word)' (\(settings.placeholder.vectors) x \(run.widths.map { "\($0)" }.joined(separator: " + "))) on "
          + "\(pictures) pictures, on \(device), \(settings.precision.rawValue)")
      progress = ProgressLine(total: run.lastStep, isBound: run.mayEndEarlier, done: run.firstStep)
    case .stepped(let result):
      last = result
      progress?.total = run.lastStep
      progress?.isBound = run.mayEndEarlier
      progress?.update(result.step, String(format: "loss %.4f", smoothed.add(Double(result.loss))))
    case .warned(let line):
      progress?.end()
      Console.warn(line)
    case .ended:
      progress?.end()
      if let conclusion = run.conclusion, !conclusion.isTrouble { Console.note(conclusion.line) }
    }
  }

  /// Says once what drawing takes beside training.
  private func preview(_ done: Int, of total: Int, _ run: RunContext) {
    if Console.isTerminal, let last { progress?.update(last.step, "drawing previews \(done)/\(total)") }
    guard !hasSaidDecoder, let bytes = run.decoderBytes else { return }
    hasSaidDecoder = true
    progress?.end()
    Console.note("Previews: the VAE's decoder takes \(max(1, bytes >> 20)) MiB beside the model")
  }
}

/// Asks a run to stop once a person, or the system, has asked the program.
final class InterruptObserver: RunObserver {
  private let interrupt: Interrupt

  init(_ interrupt: Interrupt) { self.interrupt = interrupt }

  func observe(_ event: RunEvent, of run: RunContext) {
    if interrupt.isRequested { run.requestStop() }
  }
}

/// A mean that forgets: what a loss that jumps from step to step is read by.
struct RunningMean {
  private var sum = 0.0
  private var weight = 0.0

  /// Takes in a value and returns the mean.
  mutating func add(_ value: Double) -> Double {
    sum = 0.98 * sum + value
    weight = 0.98 * weight + 1
    return sum / weight
  }
}
