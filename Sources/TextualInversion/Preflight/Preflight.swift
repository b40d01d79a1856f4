import Foundation
import ModelFiles
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
  }

  /// A word that is taught.
  public struct Taught: Sendable, Encodable {
    public let word: String
    public let vectors: Int
    public let initializer: String
    /// What it starts from, as the first text encoder's tokenizer cuts it.
    public let initializerTokens: [String]
    public let pictures: Int
  }

  /// What a few steps showed.
  public struct Trial: Sendable, Encodable {
    public let device: String
    public let secondsPerStep: Double
    /// Of the whole run, without loading and encoding.
    public let seconds: Double
    /// Most device memory used at a time, and what the device has.
    public let peakBytes: Int
    public let limitBytes: Int?

    public init(device: String, secondsPerStep: Double, steps: Int, peakBytes: Int, limitBytes: Int?) {
      self.device = device
      self.secondsPerStep = secondsPerStep
      seconds = secondsPerStep * Double(steps)
      self.peakBytes = peakBytes
      self.limitBytes = limitBytes
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
    pictures = zip(concept.names, zip(concept.pictures, concept.captions)).map { name, picture in
      let (fitted, caption) = picture
      return Found(
        file: name, width: fitted.cut.originalWidth, height: fitted.cut.originalHeight,
        learnedWidth: fitted.picture.width, learnedHeight: fitted.picture.height, captions: caption?.lines ?? [])
    }
    skipped = concept.skipped
    let names = tokenizer.names
    words = settings.words.enumerated().filter { $0.element.role == .taught }.map { number, word in
      Taught(
        word: word.placeholder.word, vectors: word.placeholder.vectors, initializer: word.initializer,
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
      "\(Self.counted(settings.steps, "step")) of \(Self.counted(settings.batchSize * settings.accumulation, "picture")), "
        + "\(settings.method.rawValue), \(settings.schedule.rawValue) from \(settings.learningRate), \(settings.precision.rawValue); "
        + rounds,
    ]
    lines.insert(
      contentsOf: words.map { word in
        let tokens = word.initializerTokens.joined(separator: " ")
        return "the word '\(word.word)', \(Self.counted(word.vectors, "vector")), "
          + (tokens.isEmpty ? "" : "from '\(word.initializer)' (\(tokens)), ")
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
      func mebibytes(_ bytes: Int) -> String {
        bytes < 1 << 30 ? "\(bytes >> 20) MiB" : String(format: "%.1f GiB", Double(bytes) / 0x1p30)
      }
      lines.append(
        "memory: \(mebibytes(trial.peakBytes))" + (trial.limitBytes.map { " of \(mebibytes($0))" } ?? "")
          + " on \(trial.device)")
      lines.append(
        String(format: "time: %.3g s a step, about %.0f s in all", trial.secondsPerStep, trial.seconds)
          + ", without loading, encoding and the held-out loss")
    }
    return lines
  }

  private var rounds: String {
    let seen = settings.steps * settings.batchSize * settings.accumulation
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
