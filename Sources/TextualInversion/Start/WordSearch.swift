import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// How much a search tries.
enum SearchEffort {
  /// Words that are tried at a place, and how many of them on all batches. A gradient says little of words that lie far from the row
  /// it was taken at, so that many are tried a little.
  static let trials = 32
  static let finalists = 6
  /// How often the places are gone through at most.
  static let rounds = 2
  /// Pictures with noise that words are held against: enough that the best of a few words tells.
  private static let draws = 16

  /// The batches that hold them.
  static func batches(_ settings: TrainingSettings) -> Int {
    max(1, (draws + settings.batchSize - 1) / settings.batchSize)
  }

  /// The steps of training that take at least as long: a batch's loss alone is less than half of its way there and back.
  static func steps(_ settings: TrainingSettings) -> Int {
    let batches = batches(settings)
    let ofAPlace = batches + (trials + finalists * batches) / 2
    return rounds * settings.placeholder.vectors * ofAPlace / max(1, settings.accumulation)
  }
}

/// The model's own words for pictures: coordinate search over its vocabulary.
///
/// For one place at a time the gradient of the loss on fixed batches, at the row that stands there, ranks all words; the most
/// promising are tried on the first batch, the best of these on all, and the best of all stays (after Wen et al., "Hard prompts made easy", 2023, arXiv 2302.03668, and Mahajan et al.,
/// "Prompting hard or hardly prompting", CVPR 2024). Places start from the mean of the vocabulary, which is no word.
struct WordSearch<B: Backend> {
  private let trainer: Trainer<B>
  private let word: Placeholder
  private let batches: [Batch]
  private let vocabulary: WordVocabulary

  /// - Parameters:
  ///   - trainer: over one word, whose rows the words stand in for; its state is left as it was.
  ///   - batches: what words are held against.
  init(_ trainer: Trainer<B>, word: Placeholder, batches: [Batch], vocabulary: WordVocabulary) {
    self.trainer = trainer
    self.word = word
    self.batches = batches
    self.vocabulary = vocabulary
  }

  /// The batches of a run that words are held against, drawn under a seed of their own, at timesteps where pictures are decided by
  /// their text.
  ///
  /// - Parameter source: makes the batches of settings, as the run itself has them.
  static func batches<Source: BatchSource>(
    _ settings: TrainingSettings, schedule: NoiseSchedule, source: (TrainingSettings) -> Source
  ) throws -> [Batch] {
    var own = settings
    // "own words" in ASCII, as far as 64 bits hold it.
    own.seed ^= 0x6F77_6E20_776F_7264
    own.otherWords.removeAll { $0.role == .negative }
    own.loss = LossSettings()
    own.loss.timesteps = schedule.steps / 2..<max(schedule.steps / 2 + 1, schedule.steps * 49 / 50)
    own.accumulation = 1
    own.steps = SearchEffort.batches(settings)
    let source = source(own)
    return try (0..<own.steps).map { try source.batch(step: $0, microBatch: 0) }
  }

  /// Finds as many words as there are vectors.
  ///
  /// - Parameter progress: told the words so far and their loss, whenever either changes; ends the search by returning false.
  /// - Returns: nil where the search was ended.
  /// - Throws: `UserError(.badData)` where the model gives no numbers.
  func run(progress: (FoundWords) throws -> Bool = { _ in true }) throws -> FoundWords? {
    let before = trainer.state
    defer { trainer.state = before }
    var places: [Int?] = Array(repeating: nil, count: word.vectors)
    let none = try loss(places, on: batches)
    var least = none
    search: for _ in 0..<SearchEffort.rounds {
      let earlier = places
      for place in places.indices {
        var tried = places
        var trials: [(word: Int, loss: Float)] = []
        for word in try ranked(places, at: place).prefix(SearchEffort.trials) where word != places[place] {
          tried[place] = word
          trials.append((word, try loss(tried, on: batches.prefix(1))))
          guard try progress(found(places, least, none)) else { return nil }
        }
        for trial in trials.sorted(by: { ($0.loss, $0.word) < ($1.loss, $1.word) }).prefix(SearchEffort.finalists) {
          tried[place] = trial.word
          let loss = try loss(tried, on: batches)
          // The first word of a place stays even where it is no gain: the mean row is none.
          if loss < least || places[place] == nil { (places, least) = (tried, loss) }
          guard try progress(found(places, least, none)) else { return nil }
        }
      }
      if places == earlier { break search }
    }
    var result = found(places, least, none)
    for place in places.indices {
      var without = places
      without[place] = nil
      result.words[place].gain = try loss(without, on: batches) - least
    }
    return result
  }

  private func found(_ places: [Int?], _ loss: Float, _ none: Float) -> FoundWords {
    FoundWords(
      words: places.map { FoundWords.Word(text: $0.map { vocabulary.words[$0].text } ?? "") }, loss: loss,
      lossOfNone: none)
  }

  /// All words, the one that the gradient promises most of first.
  private func ranked(_ places: [Int?], at place: Int) throws -> [Int] {
    trainer.state.parameters.merge(rows(places)) { $1 }
    let gradients: Parameters
    do { gradients = try trainer.gradients(of: batches) } catch is NumericalTrouble { throw Self.noNumbers }
    var promised = Array(repeating: 0.0, count: vocabulary.words.count)
    for (encoder, table) in vocabulary.tables {
      guard let gradient = gradients[ParameterName(encoder, word.word)] else { continue }
      let width = table.shape.channels
      let slope = gradient.values[place * width..<(place + 1) * width].map(Double.init)
      for index in vocabulary.words.indices {
        let row = table.values[index * width..<(index + 1) * width]
        promised[index] += zip(slope, row).reduce(0) { $0 + $1.0 * Double($1.1) }
      }
    }
    return promised.indices.sorted { (promised[$0], $0) < (promised[$1], $1) }
  }

  private func loss(_ places: [Int?], on batches: some Collection<Batch>) throws -> Float {
    trainer.state.parameters.merge(rows(places)) { $1 }
    var sum = 0.0
    for batch in batches { sum += try Double(trainer.loss(of: batch)) * Double(batch.timesteps.count) }
    guard sum.isFinite else { throw Self.noNumbers }
    return Float(sum / Double(max(1, batches.reduce(0) { $0 + $1.timesteps.count })))
  }

  private static var noNumbers: UserError {
    UserError(
      .badData, "looking for words: the model's loss on the pictures, or its gradient, is no number",
      remedy: "try --precision f32; if that is no better the model's weights are not sound")
  }

  /// The rows of words at their places.
  private func rows(_ places: [Int?]) -> Parameters {
    var parameters: Parameters = [:]
    for (encoder, table) in vocabulary.tables {
      let width = table.shape.channels
      let values = places.flatMap { place in
        place.map { Array(table.values[$0 * width..<($0 + 1) * width]) } ?? vocabulary.means[encoder] ?? []
      }
      parameters[ParameterName(encoder, word.word)] = HostTensor([places.count, width], values)
    }
    return parameters
  }
}
