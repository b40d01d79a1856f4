import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// What a run was found to be made of, and what will be done with it.
public struct Preflight: Sendable, Encodable {
  /// A picture and what stands beside it. Sizes are in pixels.
  public struct Found: Sendable, Encodable {
    public let file: String
    public let width: Int
    public let height: Int
    public let learnedWidth: Int
    public let learnedHeight: Int
    public let captions: [String]
    /// How often the picture comes where another comes once.
    public let repeats: Int
  }

  /// What a word starts from.
  public enum Start: String, Sendable, Encodable {
    /// A word or phrase that the model knows.
    case words
    /// A learned word's file.
    case file
    /// The model's own words for the pictures, which are there or yet to be looked for.
    case found
  }

  /// A word that is taught.
  public struct Taught: Sendable, Encodable {
    public let word: String
    public let vectors: Int
    public let start: Start
    /// The words or the file; empty where words are yet to be looked for.
    public let initializer: String
    /// What it starts from, as the first text encoder's tokenizer cuts it.
    public let initializerTokens: [String]
    public let pictures: Int
  }

  /// What a few steps showed.
  public struct Trial: Sendable, Encodable {
    public let device: String
    public let secondsPerStep: Double
    /// Of the whole run, without loading and encoding; the most that it can take where it ends by itself.
    public let seconds: Double
    /// The most that looking for words to start from can take; nil where none are looked for.
    public let searchSeconds: Double?
    /// Most device memory used at a time, and what the device has.
    public let peakBytes: Int
    public let limitBytes: Int?
    /// What a dry run said a step would take of the device, in words.
    public let plan: String?

    public init(
      device: String, secondsPerStep: Double, of settings: TrainingSettings, peakBytes: Int, limitBytes: Int?,
      plan: String? = nil
    ) {
      self.device = device
      self.secondsPerStep = secondsPerStep
      seconds = secondsPerStep * Double(settings.steps)
      searchSeconds = settings.findsInitializer ? secondsPerStep * Double(SearchEffort.steps(settings)) : nil
      self.peakBytes = peakBytes
      self.limitBytes = limitBytes
      self.plan = plan
    }
  }

  public let settings: TrainingSettings
  public let words: [Taught]
  public let pictures: [Found]
  public let skipped: [String]
  /// How many captions name the word, what it starts from, and neither.
  public let captionsNaming: [String: Int]
  /// Three of the sentences that are learned from, of different pictures where there are some.
  public let sentences: [String]
  public var trial: Trial?

  init(_ settings: TrainingSettings, _ concept: Concept, _ prompts: TrainingPrompts, tokenizer: CLIPTokenizer) {
    self.settings = settings
    pictures = concept.names.indices.map { index in
      let (name, fitted) = (concept.names[index], concept.pictures[index])
      return Found(
        file: name, width: fitted.cut.originalWidth, height: fitted.cut.originalHeight,
        learnedWidth: fitted.picture.width, learnedHeight: fitted.picture.height,
        captions: concept.captions[index]?.lines ?? [],
        repeats: concept.repeats[index])
    }
    skipped = concept.skipped
    let names = tokenizer.names
    words = settings.startingWords.enumerated().filter { $0.element.role == .taught }.map { number, word in
      let file = number == 0 ? settings.initialEmbedding?.file : nil
      return Taught(
        word: word.placeholder.word, vectors: word.placeholder.vectors,
        start: file != nil ? .file : number == 0 && settings.startsFromFoundWords ? .found : .words,
        initializer: file ?? word.initializer,
        initializerTokens: tokenizer.tokens(word.initializer).map {
          names.indices.contains(Int($0)) ? names[Int($0)] : "?"
        }, pictures: concept.words.count(where: { $0 == number }))
    }
    captionsNaming = prompts.sentences.naming.reduce(into: [:]) { $0["\($1.key)"] = $1.value }
    sentences = prompts.sentences.examples(3, seed: settings.seed)
  }

  /// For a person.
  public var lines: [String] {
    let sizes = Set(pictures.map { "\($0.learnedWidth) x \($0.learnedHeight)" }).sorted()
    let sides = pictures.map { ($0.width, $0.height) }
    var lines = [
      "\(Self.counted(pictures.count, "picture")), "
        + (Set(sides.map { "\($0.0) x \($0.1)" }).count == 1
          ? "\(sides[0].0) x \(sides[0].1)"
          : "from \(sides.map(\.0).min() ?? 0) x \(sides.map(\.1).min() ?? 0) to \(sides.map(\.0).max() ?? 0) x \(sides.map(\.1).max() ?? 0)")
        + " pixels, learned as \(sizes.prefix(4).joined(separator: ", "))\(sizes.count > 4 ? " and \(sizes.count - 4) more sizes" : "")",
      captionLine,
      "\(settings.stepsText) step\(settings.steps == 1 ? "" : "s") of \(Self.counted(settings.batchSize * settings.accumulation, "picture")), "
        + (settings.heldOut.settling == nil ? "" : "until the word has settled, ")
        + "\(settings.method.rawValue), \(rate), \(settings.precision.rawValue); " + rounds,
    ]
    lines.insert(
      contentsOf: words.map { word in
        "the word '\(word.word)', \(Self.counted(word.vectors, "vector")), "
          + "from \(start(of: word)), "
          + "taught as \(settings.kind == .object ? "an" : "a") \(settings.kind.rawValue)"
          + (words.count > 1 ? " by \(Self.counted(word.pictures, "picture"))" : "")
      }, at: 2)
    if let negative = settings.negativeWord {
      lines.append(
        "the word '\(negative.placeholder.word)' learns beside it, for negative prompts: predictions are led away from it by "
          + "\(settings.negativeGuidance)")
    }
    lines += sentences.map { "  “\($0)”" }
    if let trial {
      lines.append(
        "memory: \(MemoryUse.text(trial.peakBytes))" + (trial.limitBytes.map { " of \(MemoryUse.text($0))" } ?? "")
          + " on \(trial.device)" + (trial.plan.map { ", planned: \($0)" } ?? ""))
      lines.append(
        String(
          format: "time: %.3g s a step, %@ %.0f s in all", trial.secondsPerStep,
          settings.heldOut.settling == nil ? "about" : "at most", trial.seconds)
          + (trial.searchSeconds.map { String(format: " and at most %.0f s for the search for words", $0) } ?? "")
          + ", without loading, encoding and the held-out loss")
    }
    return lines
  }

  private func start(of word: Taught) -> String {
    let tokens = word.initializerTokens.joined(separator: " ")
    switch word.start {
    case .words: return "'\(word.initializer)' (\(tokens))"
    case .file: return "the learned word in \(word.initializer)"
    case .found where word.initializer.isEmpty:
      return "the model's own words for the pictures, which are looked for first (in the time of at most "
        + "\(SearchEffort.steps(settings)) steps)"
    case .found: return "the model's own words for the pictures, '\(word.initializer)' (\(tokens))"
    }
  }

  private var rate: String {
    settings.rateStages.map { "the rates \($0.text)" } ?? "\(settings.schedule.rawValue) from \(settings.learningRate)"
  }

  private var rounds: String {
    let seen = settings.steps * settings.batchSize * settings.accumulation
    let repeats = pictures.map(\.repeats)
    if let least = repeats.min(), let most = repeats.max(), least < most {
      let all = repeats.reduce(0, +)
      return "each picture about \(seen * least / all) to \(seen * most / all) times, by its folder's repeats"
    }
    return seen < pictures.count
      ? "only \(seen) of the \(pictures.count) pictures are seen"
      : "each picture about \(Self.counted(seen / max(1, pictures.count), "time"))"
  }

  private var captionLine: String {
    let captions = pictures.reduce(0) { $0 + $1.captions.count }
    guard captions > 0 else { return settings.captions.areRead ? "no captions" : "captions are not read" }
    let kinds: [(Caption.Naming, one: String, more: String)] = [
      (.word, "names the word", "name the word"),
      (
        .initializer, "names what the word starts from, and has it there",
        "name what the word starts from, and have it there"
      ),
      (.nothing, "is said behind it", "are said behind it"),
    ]
    let said = kinds.compactMap { kind, one, more in
      captionsNaming["\(kind)"].map { "\($0) \($0 == 1 ? one : more)" }
    }
    return
      "\(Self.counted(captions, "caption")) of \(Self.counted(pictures.count(where: { !$0.captions.isEmpty }), "picture")): "
      + said.joined(separator: ", ")
  }

  private static func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
}
