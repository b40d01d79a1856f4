import Foundation
import ModelFiles
import StableDiffusion
import Tensors

/// Everything that decides a run's numbers, beside the model and the pictures themselves; kept in `training.json` and in every
/// checkpoint.
public struct TrainingSettings: Sendable, Hashable, Codable {
  public var placeholder: Placeholder
  /// The word or phrase whose tokens the rows start from, in turn; empty for the model's own words for the pictures.
  public var initializer: String
  /// Those, once they are found.
  public var foundWords: String?
  /// A learned word that the rows start from in place of `initializer`.
  public var initialEmbedding: InitialEmbedding?
  /// Words that are trained beside the one that is taught.
  public var otherWords: [Word] = []
  /// How strongly predictions are led away from the negative word, where there is one.
  public var negativeGuidance: Float = 3
  /// Of a model with two text encoders, those whose rows learn; the rows of the other stay as they start.
  public var encoders = TrainedEncoders.both
  /// Where such a model's second encoder takes its summary of the prompt.
  public var pooling = TextPooling.endOfText
  public var kind: ConceptKind
  /// The prompts, each with `{}` where the word goes; the kind's own where none are given.
  public var templates: [String]?
  /// What becomes of the texts beside the pictures.
  public var captions = CaptionSettings()
  public var method: TrainingMethod
  public var steps: Int
  public var batchSize: Int
  /// Micro-batches whose gradients are averaged in a step.
  public var accumulation = 1
  /// AdamW's rate, or the angle of a step in radians.
  public var learningRate: Float
  public var schedule: LearningRateSchedule
  public var warmupSteps = 0
  /// Rates one behind the other in place of `learningRate`, which is the first of them.
  public var rateStages: [RateStage]?
  /// The numbers of plain training's rule.
  public var optimizer = AdamW()
  public var loss = LossSettings()
  /// The side of the square that pictures are brought to or, where they keep their shapes, that has their area, in pixels; a
  /// multiple of 8.
  public var resolution: Int
  public var fitting = PictureFitting.crop
  public var pictureSet = PictureSetSettings()
  /// Whether half the pictures, drawn anew each step, are mirrored.
  public var flips = false
  /// What the word is measured by on the way.
  public var heldOut = HeldOutSettings()
  public var seed: UInt64 = 0
  public var precision: ElementType

  public init(
    placeholder: Placeholder, initializer: String = "", kind: ConceptKind, resolution: Int, precision: ElementType,
    method: TrainingMethod = .spherical, defaults: TrainingMethod.Defaults? = nil
  ) {
    let defaults = defaults ?? method.defaults
    self.method = method
    steps = defaults.steps
    batchSize = defaults.batchSize
    learningRate = defaults.learningRate
    schedule = defaults.schedule
    self.placeholder = placeholder
    self.initializer = initializer
    self.kind = kind
    self.resolution = resolution
    self.precision = precision
  }

  /// Whether the rows start from the model's own words for the pictures, and these are yet to be found.
  public var findsInitializer: Bool { startsFromFoundWords && foundWords == nil }

  /// Whether neither a word nor a file was given to start from.
  var startsFromFoundWords: Bool { initializer.isEmpty && initialEmbedding == nil }

  /// All words, the taught one with what was found for it.
  var startingWords: [Word] {
    let start = foundWords ?? initializer
    return [Word(placeholder, initializer: start)]
      + otherWords.map { $0.role == .negative ? Word($0.placeholder, initializer: start, role: .negative) : $0 }
  }

  /// All words that are trained, the taught one first.
  public var words: [Word] { [Word(placeholder, initializer: initializer)] + otherWords }

  /// The words that the run is for.
  var taughtWords: [String] { words.filter { $0.role == .taught }.map(\.placeholder.word) }

  /// What the run leaves files of: those, and the word for negative prompts.
  var resultingWords: [String] { words.filter { $0.role != .private }.map(\.placeholder.word) }

  /// The word for negative prompts that learns beside the taught one.
  public var negativeWord: Word? { otherWords.first { $0.role == .negative } }

  /// Has a second word learn beside the taught one, for negative prompts; it starts from where that one starts.
  ///
  /// - Throws: `UserError(.usage)` for what is no word.
  public mutating func teachNegative(_ word: String) throws(UserError) {
    otherWords.removeAll { $0.role == .negative }
    otherWords.append(
      Word(try Placeholder(word, vectors: placeholder.vectors), initializer: "", role: .negative))
  }

  /// The rule of update.
  public var rule: any Optimizer {
    switch method {
    case .spherical: Spherical()
    case .plain: optimizer
    case .prodigy: Prodigy()
    }
  }

  /// From a file; one that names no method was written when there was plain training alone.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    placeholder = try container.decode(Placeholder.self, forKey: .placeholder)
    initializer = try container.decode(String.self, forKey: .initializer)
    foundWords = try container.decodeIfPresent(String.self, forKey: .foundWords)
    initialEmbedding = try container.decodeIfPresent(InitialEmbedding.self, forKey: .initialEmbedding)
    otherWords = try container.decodeIfPresent([Word].self, forKey: .otherWords) ?? []
    negativeGuidance = try container.decodeIfPresent(Float.self, forKey: .negativeGuidance) ?? 3
    encoders = try container.decodeIfPresent(TrainedEncoders.self, forKey: .encoders) ?? .both
    pooling = try container.decodeIfPresent(TextPooling.self, forKey: .pooling) ?? .endOfText
    kind = try container.decode(ConceptKind.self, forKey: .kind)
    templates = try container.decodeIfPresent([String].self, forKey: .templates)
    captions = try container.decodeIfPresent(CaptionSettings.self, forKey: .captions) ?? .none
    method = try container.decodeIfPresent(TrainingMethod.self, forKey: .method) ?? .plain
    steps = try container.decode(Int.self, forKey: .steps)
    batchSize = try container.decode(Int.self, forKey: .batchSize)
    accumulation = try container.decode(Int.self, forKey: .accumulation)
    learningRate = try container.decode(Float.self, forKey: .learningRate)
    schedule = try container.decode(LearningRateSchedule.self, forKey: .schedule)
    warmupSteps = try container.decode(Int.self, forKey: .warmupSteps)
    rateStages = try container.decodeIfPresent([RateStage].self, forKey: .rateStages)
    optimizer = try container.decode(AdamW.self, forKey: .optimizer)
    loss = try container.decodeIfPresent(LossSettings.self, forKey: .loss) ?? LossSettings()
    resolution = try container.decode(Int.self, forKey: .resolution)
    fitting = try container.decode(PictureFitting.self, forKey: .fitting)
    pictureSet =
      try container.decodeIfPresent(PictureSetSettings.self, forKey: .pictureSet) ?? PictureSetSettings.earlier
    flips = try container.decode(Bool.self, forKey: .flips)
    heldOut = try container.decodeIfPresent(HeldOutSettings.self, forKey: .heldOut) ?? .none
    seed = try container.decode(UInt64.self, forKey: .seed)
    precision = try container.decode(ElementType.self, forKey: .precision)
  }

  /// The most steps a run can have: a draw is named by the number of its micro-batch in 32 bits.
  public static let mostSteps = Int(UInt32.max)

  /// What one forward and backward pass goes over.
  public var stepSize: StepSize {
    StepSize(height: resolution, width: resolution, batch: batchSize, isGuided: negativeWord != nil)
  }

  /// Throws `UserError(.usage)` naming the first setting that is out of range.
  public func validate() throws(UserError) {
    func require(_ condition: Bool, _ message: String) throws(UserError) {
      if !condition { throw UserError(.usage, message) }
    }
    try require(
      (1...Self.mostSteps).contains(steps), "--steps must be between 1 and \(Self.mostSteps), not \(steps)")
    try require((1...256).contains(batchSize), "--batch-size must be between 1 and 256, not \(batchSize)")
    try require((1...1024).contains(accumulation), "--accumulate must be between 1 and 1024, not \(accumulation)")
    try require(
      steps <= Self.mostSteps / accumulation,
      "--steps \(steps) of --accumulate \(accumulation) are more than \(Self.mostSteps) batches")
    // An angle of more than that turns a row away from where it was.
    let largestRate: Float = method == .spherical ? 2 : 10
    for rate in rateStages?.map(\.rate) ?? [learningRate] {
      try require(
        rate > 0 && rate <= largestRate,
        "--learning-rate must be above 0 and at most \(largestRate) (--method \(method.rawValue)), not \(rate)")
    }
    if let rateStages {
      try require(method == .plain, "--learning-rate \(rateStages.text) goes with --method plain")
      try require(
        schedule == .constant, "--learning-rate \(rateStages.text) is a schedule itself: leave --schedule out")
      let end = rateStages.last.map { $0.end ?? steps } ?? 0
      try require(
        steps <= end,
        "--learning-rate \(rateStages.text) ends at step \(end), before --steps \(steps): write a last rate without a step"
      )
    }
    try require(
      negativeGuidance > 1 && negativeGuidance <= 30,
      "--negative-guidance must be above 1 and at most 30, not \(negativeGuidance)")
    try require(
      negativeWord == nil || taughtWords.count == 1,
      "--negative-token goes with one word, not with \(taughtWords.count)")
    try optimizer.validate()
    try heldOut.validate(steps: steps)
    try loss.validate(method: method)
    try captions.validate()
    try require(
      (0...steps).contains(warmupSteps), "--warmup must be between 0 and the number of steps, not \(warmupSteps)")
    try require(
      (16...2048).contains(resolution) && resolution % 8 == 0,
      "--resolution must be a multiple of 8 between 16 and 2048, not \(resolution)")
    try require(
      initializer.isEmpty || !initializer.allSatisfy(\.isWhitespace),
      "--initializer must name a word to start from, such as 'toy'")
    try require(
      !otherWords.contains { $0.role != .negative && $0.initializer.allSatisfy(\.isWhitespace) },
      "every word but the first must have a word to start from, such as 'toy'")
  }

  /// What a person may not expect of the settings, a line each.
  var warnings: [String] {
    var warnings = words.flatMap(\.placeholder.warnings)
    // Rates that plain training is used to, taken for angles, make a way of 1 to 10.
    if method == .spherical, isShortWay(of: steps) {
      warnings.append(
        "\(steps) steps of at most \(learningRate) radians are a short way, on which little is learned: the default's is "
          + "40 radians; --learning-rate is an angle unless --method is plain")
    }
    return warnings + loss.warnings(method: method)
  }

  /// Whether so many steps lead less than half as far as the method's own.
  func isShortWay(of steps: Int) -> Bool {
    learningRate * Float(steps) < method.defaults.learningRate * Float(method.defaults.steps) / 2
  }

  /// What differs from `other`, a phrase each: "batch_size (2, not 4)", other's value first.
  func differences(from other: TrainingSettings) -> [String] {
    let (old, new) = (other.flattened, flattened)
    return Set(old.keys).union(new.keys).sorted().compactMap { name in
      let (old, new) = (old[name] ?? "none", new[name] ?? "none")
      return old == new ? nil : "\(name) (\(old), not \(new))"
    }
  }

  /// The settings by their names in `training.json`, as text.
  var flattened: [String: String] {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    guard let data = try? encoder.encode(self),
      let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
    else { return [:] }
    var result: [String: String] = [:]
    func add(_ object: [String: Any], under prefix: String) {
      for (key, value) in object {
        if let inner = value as? [String: Any] {
          add(inner, under: prefix + key + ".")
        } else {
          // A list may hold names and values, whose order is nobody's.
          let list = (value as? [Any]).flatMap {
            try? JSONSerialization.data(withJSONObject: $0, options: [.sortedKeys])
          }
          result[prefix + key] = list.map { String(decoding: $0, as: UTF8.self) } ?? "\(value)"
        }
      }
    }
    add(object, under: "")
    return result
  }

  /// The rate at step `step`, from 0, of a run that has measured so much.
  func learningRate(at step: Int, _ record: HeldOutRecord = HeldOutRecord()) -> Float {
    let rate = rateStages?.rate(at: step) ?? learningRate
    return Float(Double(rate) * rateFactor(at: step, record))
  }
}

/// A word that a run trains.
public struct Word: Sendable, Hashable, Codable {
  /// What becomes of the word behind the run.
  public enum Role: String, Sendable, Codable {
    /// It is what the run is for.
    case taught
    /// It is learned to be named in negative prompts.
    case negative
    /// It takes what the taught word is not to learn, and is left out of the results.
    case `private`
  }

  public var placeholder: Placeholder
  /// The word or phrase whose tokens the rows start from, in turn.
  public var initializer: String
  public var role: Role

  public init(_ placeholder: Placeholder, initializer: String, role: Role = .taught) {
    self.placeholder = placeholder
    self.initializer = initializer
    self.role = role
  }
}

/// Of SDXL's two text encoders, those whose rows learn.
public enum TrainedEncoders: String, Sendable, Codable, CaseIterable {
  case both
  case clipL = "clip-l"
  case clipG = "clip-g"

  /// Those of a model's encoders.
  ///
  /// - Throws: `UserError(.usage)` where the model has no such encoder.
  public func among(_ encoders: [Component]) throws(UserError) -> Set<Component> {
    let wanted: Set<Component> =
      switch self {
      case .both: Set(encoders)
      case .clipL: [.textEncoder]
      case .clipG: [.textEncoder2]
      }
    guard wanted.isSubset(of: encoders) else {
      throw UserError(
        .usage, at: .option("encoder"), "\(rawValue), but the model has one text encoder", remedy: "leave it out")
    }
    return wanted
  }
}
