import ArgumentParser
import Foundation
import StableDiffusion
import Tensors
import TextualInversion

/// The options that decide a run. None has a value of its own: what is not given comes from the run that is gone on with, or
/// from the library's defaults.
struct TrainingOptions: ParsableArguments {
  @Option(help: "The word to teach, such as '<toy>'.")
  var token: String?
  @Option(help: "A second word, for negative prompts, to learn beside it; a step takes twice as long.")
  var negativeToken: String?
  @Option(
    help: "How strongly pictures are led away from it while it learns, as --guidance does when they are drawn (3).")
  var negativeGuidance: Float?
  @Option(
    help:
      "How the word is learned (spherical); plain is AdamW, as diffusers' script has it, prodigy finds its rate itself."
  )
  var method: TrainingMethod?
  @Flag(help: "Spherical in 120 steps of angle 0.5: quick, and tried on small models only.")
  var quick = false
  @Option(
    help: ArgumentHelp(
      "What to start from: a word or phrase near in meaning, or a learned word's file (the model's own words for the pictures, which "
        + "are looked for first).", valueName: "words or file"))
  var initializer: String?
  @Option(help: "Of SDXL's two text encoders, whose rows learn (both).")
  var encoder: TrainedEncoders?
  @Option(
    help: "Where SDXL's pooled text is taken: end-of-text, or highest-id as diffusers' script has it (end-of-text).")
  var pooling: TextPooling?
  @Option(help: "How many vectors the word has (spherical 4, plain and prodigy 1).")
  var vectors: Int?
  @Option(help: "What is learned (object); a subject is a person or an animal.")
  var kind: ConceptKind?
  @Option(
    help: ArgumentHelp(
      "Prompts to learn from, a line each with {} or [name] for the word and, where wanted, [filewords] for the caption.",
      valueName: "file"))
  var templates: PathArgument?
  @OptionGroup(title: "Captions") var captions: CaptionOptions
  @Option(help: "Pictures a batch (spherical and prodigy 4, plain 1).")
  var batchSize: Int?
  @Option(help: "Batches whose gradients are averaged in a step (1).")
  var accumulate: Int?
  @Option(
    help: ArgumentHelp(
      "The step's size: an angle in radians (spherical 0.16), AdamW's rate (plain 5e-3; also 0.005:100,1e-3:500, rates each up to a "
        + "step), a factor to the rate that is found (prodigy 1).", valueName: "rate"))
  var learningRate: LearningRateArgument?
  @Option(help: "How the size moves over the run (spherical and prodigy cosine, plain constant).")
  var schedule: LearningRateSchedule?
  @Option(help: "Steps over which the size rises to its full height (0).")
  var warmup: Int?
  @Option(help: "The pictures' side in pixels, or the root of their area (the model's own).")
  var resolution: Int?
  @Flag(inversion: .prefixedNo, help: "Mirror half the pictures (no).")
  var flip: Bool?
  @Option(help: "What every random draw comes from (0): \(Seed.help).")
  var seed: Seed?
  @OptionGroup(title: "Loss") var loss: LossOptions

  @OptionGroup(title: "Ending") var ending: EndingOptions

  /// The word, which every kind of training needs.
  func word() throws(UserError) -> String {
    guard let token else { throw UserError(.usage, "--token is missing: the word to teach, such as '<toy>'") }
    return token
  }

  /// The run's settings: what was given here, over the earlier run's, over the defaults.
  ///
  /// - Throws: `UserError(.usage)` for a value out of range, the run itself refuses one that differs from the earlier run's.
  func settings(
    resuming earlier: TrainingSettings?, pictureSet: PictureSetOptions, precision: ElementType, nativeSide: Int
  ) throws(UserError) -> TrainingSettings {
    var settings: TrainingSettings
    var endsWhenSettled = false
    let start = try initializer.flatMap(InitialFile.init)
    if let earlier {
      guard !quick else {
        throw UserError(.usage, "--quick is for a new run; the run that is gone on with knows its steps")
      }
      settings = earlier
      settings.precision = precision
      settings.placeholder = try Placeholder(
        token ?? earlier.placeholder.word, vectors: vectors ?? earlier.placeholder.vectors)
    } else {
      let method = method ?? .spherical
      guard !quick || method == .spherical else {
        throw UserError(.usage, "--quick goes with --method spherical, not with \(method.rawValue)")
      }
      let defaults = quick ? TrainingMethod.quick : method.defaults
      endsWhenSettled = defaults.endsWhenSettled
      settings = TrainingSettings(
        placeholder: try Placeholder(word(), vectors: vectors ?? start?.vectors ?? defaults.vectors),
        kind: kind ?? .object, resolution: nativeSide, precision: precision, method: method, defaults: defaults)
    }
    func take<T>(_ value: T?, _ path: WritableKeyPath<TrainingSettings, T>) {
      if let value { settings[keyPath: path] = value }
    }
    take(method, \.method)
    if let start {
      settings.initialEmbedding = start.embedding
      settings.initializer = ""
    } else if let initializer {
      guard !initializer.allSatisfy(\.isWhitespace) else {
        throw UserError(
          .usage, at: .option("initializer"), "names no word to start from, such as 'toy'",
          remedy: "leave it out to start from the model's own words for the pictures")
      }
      settings.initialEmbedding = nil
      settings.initializer = initializer
    }
    if let negativeToken { try settings.teachNegative(negativeToken) }
    take(negativeGuidance, \.negativeGuidance)
    take(encoder, \.encoders)
    take(pooling, \.pooling)
    take(kind, \.kind)
    if let stages = learningRate?.stages {
      let isSchedule = stages.count > 1 || stages[0].end != nil
      settings.learningRate = stages[0].rate
      settings.rateStages = isSchedule ? stages : nil
      if let end = stages.last?.end, earlier == nil { settings.steps = end }
    }
    take(batchSize, \.batchSize)
    take(accumulate, \.accumulation)
    take(schedule, \.schedule)
    take(warmup, \.warmupSteps)
    take(resolution, \.resolution)
    take(flip, \.flips)
    take(seed?.value(), \.seed)
    try loss.apply(to: &settings.loss)
    pictureSet.take(into: &settings)
    if let templates { settings.templates = try PromptTemplates.read(templates.url) }
    ending.apply(to: &settings, endsWhenSettled: endsWhenSettled)
    captions.change(&settings.captions)
    try settings.validate()
    return settings
  }
}
