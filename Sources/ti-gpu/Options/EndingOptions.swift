import ArgumentParser
import TextualInversion

/// The options that decide how a word is measured and when its run ends.
struct EndingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Optimizer steps (plain 2000, prodigy 1000), or auto: until the word has settled, twice as many at most (spherical, at most 500).",
      valueName: "steps"))
  var steps: StepCount?
  @Option(help: "Minutes after which the run ends with what there is; --resume goes on.")
  var maxMinutes: Double?
  @Option(help: "Fixed pictures with noise that the held-out loss is taken of (16); 0 for none.")
  var heldOut: Int?
  @Option(help: "Steps from one held-out loss to the next (as many as keep its cost under a tenth).")
  var heldOutEvery: Int?

  /// What was given here goes over what the settings say.
  ///
  /// - Parameter endsWhenSettled: whether a run that measures its word ends by it where no steps are asked for.
  func apply(to settings: inout TrainingSettings, endsWhenSettled: Bool) {
    if let heldOut { settings.heldOut.draws = heldOut }
    if let heldOutEvery { settings.heldOut.every = heldOutEvery }
    switch steps {
    case .fixed(let steps): settings.stop(behind: steps)
    case .auto: settings.stopWhenSettled()
    case nil: if endsWhenSettled, settings.heldOut.draws > 0 { settings.stopWhenSettled() }
    }
  }
}

/// `--steps`: a number, or as many as the word takes.
enum StepCount: ExpressibleByArgument {
  case fixed(Int)
  case auto

  init?(argument: String) {
    guard argument != "auto" else {
      self = .auto
      return
    }
    guard let steps = Int(argument) else { return nil }
    self = .fixed(steps)
  }
}
