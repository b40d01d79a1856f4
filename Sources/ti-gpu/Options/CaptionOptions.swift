import ArgumentParser
import TextualInversion

/// What becomes of the texts beside the pictures.
struct CaptionOptions: ParsableArguments {
  @Flag(inversion: .prefixedNo, help: "Read NAME.txt or NAME.caption beside a picture (yes).")
  var captions: Bool?
  @Option(
    help: ArgumentHelp(
      "How often a picture's caption is left out (0.3; 0 where templates have [filewords]).", valueName: "share"))
  var captionDropout: Float?
  @Flag(inversion: .prefixedNo, help: "Put a caption's parts, between the commas, in a new order each time (no).")
  var captionShuffle: Bool?
  @Option(help: ArgumentHelp("How many parts stay in front when they are shuffled (0).", valueName: "parts"))
  var captionKeep: Int?

  /// Takes over what was given.
  func change(_ settings: inout CaptionSettings) {
    if let captions { settings.areRead = captions }
    if let captionDropout { settings.dropout = captionDropout }
    if let captionShuffle { settings.shuffles = captionShuffle }
    if let captionKeep { settings.keptParts = captionKeep }
  }
}
