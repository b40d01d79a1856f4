import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// Finds a model's own words for a folder of pictures.
public struct PictureWords<B: Backend> {
  public let concept: Concept
  private let settings: TrainingSettings
  private let model: StableDiffusionModel
  private let makeBackend: (ElementType) throws -> B

  /// - Parameters:
  ///   - settings: those of a run on the pictures. As many words are found as the taught word has vectors.
  ///   - makeBackend: a backend that stores activations and weights as asked.
  public init(
    model: any ModelSource, pictures: URL, settings: TrainingSettings,
    makeBackend: @escaping (ElementType) throws -> B
  ) throws {
    try settings.validate()
    self.settings = settings
    self.model = try StableDiffusionModel(model)
    self.makeBackend = makeBackend
    concept = try Concept(settings, pictures: pictures, for: self.model.shape)
  }

  /// - Parameters:
  ///   - shouldStop: asked behind each picture that is encoded and each word that is tried; ends the work.
  ///   - progress: told the words so far.
  /// - Returns: nil where the work was ended.
  /// - Throws: `UserError(.badData)` where the model gives no numbers.
  public func find(
    shouldStop: () -> Bool = { false }, progress: (FoundWords) throws -> Void = { _ in }
  ) throws -> FoundWords? {
    let schedule = try model.noiseSchedule()
    let encoders = model.shape.textComponents.map(\.component)
    let word = settings.placeholder
    var plain: [(component: Component, tokenizer: CLIPTokenizer)] = []
    for encoder in encoders { plain.append((encoder, try model.tokenizer(encoder))) }
    var tokenizers: [CLIPTokenizer] = []
    for (_, tokenizer) in plain { tokenizers.append(try tokenizer.adding(word.word, vectors: word.vectors)) }
    let names = concept.files.map(\.lastPathComponent)
    let prompts = try TrainingPrompts(
      settings,
      sentences: TrainingSentences(settings, pictures: names, captions: concept.captions, words: concept.words),
      pictures: names, tokenizers: tokenizers, warn: { _ in })
    let backend = try makeBackend(settings.precision)
    let plan = try MemoryPlan(model, settings.stepSize, on: backend)
    let vaeBackend = try makeBackend(model.shape.autoencoder.precision(beside: settings.precision))
    guard
      let latents = try LatentCache(
        concept, by: model, on: vaeBackend, files: LatentFiles(nil, vae: [:], device: ""), withMirrored: settings.flips,
        progress: { _ in !shouldStop() })
    else { return nil }
    let vocabularies = Dictionary(plain.map { ($0.component, $0.tokenizer.vocabularySize) }, uniquingKeysWith: { $1 })
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: vocabularies, trained: Set(encoders), pooling: settings.pooling)
    let vocabulary = try WordVocabulary(model, tokenizers: plain)
    let optimizer = AdamW()
    let trainer = Trainer(
      backend: backend, textEncoders: textEncoders,
      unet: try model.unet(on: backend, gradients: textEncoders.gradientNames), schedule: schedule,
      layout: RowLayout(words: [word], encoders: encoders), optimizer: optimizer,
      state: TrainingState(parameters: [:], optimizer: optimizer, precision: settings.precision),
      keeping: plan.keeping)
    let batches = try WordSearch<B>.batches(settings, schedule: schedule) { own in
      ConceptBatches(settings: own, latents: latents, repeats: concept.repeats, schedule: schedule, prompts: prompts)
    }
    return try WordSearch(trainer, word: word, batches: batches, vocabulary: vocabulary).run { words in
      try progress(words)
      return !shouldStop()
    }
  }
}
