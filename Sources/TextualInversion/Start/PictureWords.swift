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
    concept = try TrainingRun<B>.concept(settings, pictures: pictures, masks: nil, self.model.shape)
  }

  /// - Parameter progress: told the words so far; ends the search by returning false.
  /// - Returns: nil where the search was ended.
  public func find(progress: (FoundWords) throws -> Bool = { _ in true }) throws -> FoundWords? {
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
    try model.shape.checkTraining(
      resolution: settings.resolution, batchSize: settings.batchSize, type: backend.precision, memory: backend.memory)
    let latents = try encodedPictures()
    let vocabularies = Dictionary(plain.map { ($0.component, $0.tokenizer.vocabularySize) }, uniquingKeysWith: { $1 })
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: vocabularies, trained: Set(encoders), pooling: settings.pooling)
    let vocabulary = try WordVocabulary(model, tokenizers: plain)
    let optimizer = AdamW()
    let trainer = Trainer(
      backend: backend, textEncoders: textEncoders,
      unet: try model.unet(on: backend, gradients: textEncoders.gradientNames), schedule: schedule,
      layout: RowLayout(words: [word], encoders: encoders), optimizer: optimizer,
      state: TrainingState(parameters: [:], optimizer: optimizer, precision: settings.precision))
    let batches = try WordSearch<B>.batches(settings, schedule: schedule) { own in
      ConceptBatches(settings: own, latents: latents, repeats: concept.repeats, schedule: schedule, prompts: prompts)
    }
    return try WordSearch(trainer, word: word, batches: batches, vocabulary: vocabulary).run(progress: progress)
  }

  private func encodedPictures() throws -> LatentCache {
    let backend = try makeBackend(model.shape.autoencoder.precision(beside: settings.precision))
    let vae = try model.autoencoder(on: backend)
    guard
      let latents = try LatentCache(
        concept.views, scale: model.shape.autoencoder.scalingFactor, withMirrored: settings.flips,
        moments: { try vae.moments(of: $0, on: backend) })
    else { throw CancellationError() }
    return latents
  }
}
