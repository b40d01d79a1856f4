import ArgumentParser
import TextualInversion

/// The options that decide how a word is measured and when its run ends.
struct EndingOptions: ParsableArguments {
  @Option(help: "Fixed pictures with noise that the held-out loss is taken of (16); 0 for none.")
  var heldOut: Int?
  @Option(help: "Steps from one held-out loss to the next (as many as keep its cost under a tenth).")
  var heldOutEvery: Int?

  /// What was given here goes over what the settings say.
  func apply(to settings: inout TrainingSettings) {
    if let heldOut { settings.heldOut.draws = heldOut }
    if let heldOutEvery { settings.heldOut.every = heldOutEvery }
  }
}
