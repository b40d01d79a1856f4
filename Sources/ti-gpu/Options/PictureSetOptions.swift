import ArgumentParser
import TextualInversion

extension AlphaUse: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

/// What of the pictures is learned. None has a value of its own, as in `TrainingOptions`.
struct PictureSetOptions: ParsableArguments {
  @Option(
    help:
      "How pictures become that size: by their middle, by one of five parts drawn anew each step, or squashed (crop).")
  var fit: PictureFitting?
  @Flag(
    inversion: .prefixedNo,
    help: "Let pictures that are no squares keep their shape, at about the same area (yes).")
  var buckets: Bool?

  @Option(
    help: ArgumentHelp(
      "What transparent parts become: mask (not learned), ignore (the colours beneath), or white, black, grey, #RRGGBB (white).",
      valueName: "mask|colour"))
  var alpha: AlphaUse?
  @Option(
    help: ArgumentHelp(
      "Masks of the pictures' names (NAME.png), white where they are learned, black where not.", valueName: "folder"))
  var masks: PathArgument?

  @Flag(
    inversion: .prefixedNo, exclusivity: .chooseLast,
    help: "Keep the VAE's view of the pictures on disk, so that the next run over them starts at once.")
  var latentCache = true

  @Option(
    help: ArgumentHelp(
      "Several words at once, in place of --images and --token: a folder of folders, each named by its word and what it starts from ('10_my-toy toy': <my-toy> from toy, ten times as often).",
      valueName: "folder"))
  var concepts: PathArgument?

  /// Takes what was given into a run's settings.
  func take(into settings: inout TrainingSettings) {
    if let fit { settings.fitting = fit }
    if let buckets { settings.pictureSet.buckets = buckets }
    if let alpha { settings.pictureSet.alpha = alpha }
  }
}
