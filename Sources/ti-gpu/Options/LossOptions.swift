import ArgumentParser
import Foundation
import Tensors
import TextualInversion

extension HuberThreshold.Schedule: ExpressibleByArgument {}

/// What the loss is taken of and how it is weighed.
struct LossOptions: ParsableArguments {
  @Option(
    name: .customLong("min-snr"),
    help: ArgumentHelp(
      "Weigh examples by min(SNR, gamma) / SNR, over SNR + 1 where the model predicts v (off; 5 is common).",
      valueName: "gamma"))
  var minSNR: Float?
  @Option(help: ArgumentHelp("Take the pseudo-Huber error with this threshold (off; 0.1 is common).", valueName: "c"))
  var huber: Float?
  @Option(help: "How the threshold depends on the amount of noise (snr).")
  var huberSchedule: HuberThreshold.Schedule?
  @Option(help: ArgumentHelp("Shift each channel's noise by so much of a normal number (0).", valueName: "amount"))
  var noiseOffset: Float?
  @Option(
    help: ArgumentHelp("The timesteps to draw from, such as 500..900; 900 is not among them (all).", valueName: "range")
  )
  var timesteps: TimestepRange?
  @Option(
    help: ArgumentHelp("Bring the gradient down to this norm (off; with --method plain or prodigy).", valueName: "norm")
  )
  var maxGradientNorm: Float?

  /// Puts what was given here over `settings`.
  func apply(to settings: inout LossSettings) throws(UserError) {
    settings.snrGamma = minSNR ?? settings.snrGamma
    if let huber { settings.huber = HuberThreshold(threshold: huber, schedule: settings.huber?.schedule ?? .snr) }
    if let huberSchedule {
      guard settings.huber != nil else {
        throw UserError(.usage, at: .option("huber-schedule"), "goes with --huber", remedy: "give its threshold, 0.1")
      }
      settings.huber?.schedule = huberSchedule
    }
    settings.noiseOffset = noiseOffset ?? settings.noiseOffset
    settings.timesteps = timesteps?.range ?? settings.timesteps
    settings.maxGradientNorm = maxGradientNorm ?? settings.maxGradientNorm
  }
}

/// `500..900`.
struct TimestepRange: ExpressibleByArgument {
  let range: Range<Int>

  init?(argument: String) {
    let ends = argument.components(separatedBy: "..").map { Int($0) }
    guard ends.count == 2, let first = ends[0], let end = ends[1], first >= 0, first < end else { return nil }
    range = first..<end
  }
}

/// A number, or the web UIs' `0.005:100,1e-3:500`.
struct LearningRateArgument: ExpressibleByArgument {
  let stages: [RateStage]

  init?(argument: String) {
    guard let stages = RateStage.stages(argument) else { return nil }
    self.stages = stages
  }
}
