import CPUBackend
import DemoModel
import Foundation
import ModelFiles
import Operators
import StableDiffusion
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// What rows start from: learned words, and the model's own words for pictures.
@Suite(.serialized) struct StartTests {
  private struct Words: Decodable {
    let count: Int
    let sha256: String
    let ends: [String]
  }

  /// By transformers' tokenizer (Tools/reference/words.py).
  @Test(arguments: ["demo", "clip"]) func wholeWordsAreThoseOfTransformers(name: String) throws {
    let file = try JSONSerialization.jsonObject(with: Data(contentsOf: Fixtures.url("words.json"))) as? [String: Any]
    let expected = try JSONDecoder().decode(
      Words.self, from: JSONSerialization.data(withJSONObject: try #require(file?[name])))
    let tokenizer =
      try name == "clip"
      ? CLIPTokenizer.builtIn() : StableDiffusionModel(DiffusersFolder(DemoModel.model)).tokenizer()
    let words = tokenizer.wholeWords
    #expect(words.count == expected.count)
    #expect(words.prefix(3).map(\.text) + words.suffix(3).map(\.text) == expected.ends)
    let text = words.map { "\($0.text) \($0.token)\n" }.joined()
    #expect(FileHash.sha256(Data(text.utf8)) == expected.sha256)
  }

  private func settings(vectors: Int, initializer: String = "", _ method: TrainingMethod = .plain) throws
    -> TrainingSettings
  {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<toy>", vectors: vectors), initializer: initializer, kind: .subject, resolution: 32,
      precision: .float32, method: method)
    settings.batchSize = 4
    return settings
  }

  /// One word for the cat's pictures: by trying every word of the demo's vocabulary the same model says which are best. Search, which
  /// tries half of them, finds one of the best fifth.
  @Test func searchFindsWhatTryingAllWordsFinds() throws {
    let backend = try CPUBackend()
    let model = try StableDiffusionModel(DiffusersFolder(DemoModel.model))
    let settings = try settings(vectors: 1)
    let tokenizer = try model.tokenizer()
    let prompts = try TrainingPrompts(settings, tokenizers: [tokenizer.adding("<toy>")], warn: { _ in })
    let concept = try TrainingRun<CPUBackend>.concept(
      settings, pictures: DemoConcept.myCat.folder, masks: nil, model.shape)
    let vae = try model.autoencoder(on: backend)
    let latents = try #require(
      try LatentCache(
        concept.views, scale: vae.configuration.scalingFactor, withMirrored: false,
        moments: { try vae.moments(of: $0, on: backend) }))
    let schedule = try model.noiseSchedule()
    let batches = Array(
      try WordSearch<CPUBackend>.batches(settings, schedule: schedule) {
        ConceptBatches(settings: $0, latents: latents, schedule: schedule, prompts: prompts)
      }.prefix(1))
    #expect(batches.allSatisfy { $0.timesteps.allSatisfy { (500..<980).contains($0) } })
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: [.textEncoder: tokenizer.vocabularySize], trained: [.textEncoder])
    let rule = AdamW()
    let name = ParameterName(.textEncoder, "<toy>")
    let start = TrainingState(
      parameters: [name: HostTensor(repeating: 0, [1, model.shape.textEncoders[0].width])], optimizer: rule,
      precision: .float32)
    let trainer = Trainer(
      backend: backend, textEncoders: textEncoders,
      unet: try model.unet(on: backend, gradients: textEncoders.gradientNames), schedule: schedule,
      layout: RowLayout(words: [settings.placeholder], encoders: [.textEncoder]), optimizer: rule, state: start)
    let vocabulary = try WordVocabulary(model, tokenizers: [(.textEncoder, tokenizer)])
    let found = try #require(
      try WordSearch(trainer, word: settings.placeholder, batches: batches, vocabulary: vocabulary).run())
    #expect(trainer.state == start, "the search leaves the trainer as it was")

    var losses: [(loss: Float, text: String)] = []
    let table = try model.tokenTable()
    for (text, token) in tokenizer.wholeWords {
      trainer.state.parameters[name] = table.rows([Int(token)])
      losses.append((try trainer.loss(of: batches[0]), text))
    }
    losses.sort { $0.loss < $1.loss }
    let word = try #require(found.words.first)
    #expect(found.words.count == 1 && found.text == word.text)
    let rank = try #require(losses.firstIndex { $0.text == word.text })
    #expect(rank < losses.count / 5, "\(word.text) is number \(rank + 1) of \(losses.count)")
    #expect(found.loss == losses.first { $0.text == word.text }?.loss)
    #expect(found.loss < found.lossOfNone && word.gain == found.lossOfNone - found.loss)
  }

  /// A learned word's own rows, in turn, in each encoder; the numbers are those that the file was made of.
  @Test func aLearnedWordIsGoneOnFrom() throws {
    let model = try StableDiffusionModel(DiffusersFolder(Fixtures.url("models/tiny-sdxl")))
    var rows: [Component: HostTensor] = [:]
    for (component, configuration) in model.shape.textComponents {
      let values = Philox(seed: 4, stream: UInt32(configuration.width)).normals(2 * configuration.width)
      rows[component] = HostTensor([2, configuration.width], values)
    }
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("old.safetensors")
      _ = try EmbeddingForm.encoders.write([EmbeddingFile(word: "<old>", rows: rows)], to: url)
      var settings = try settings(vectors: 3)
      settings.initialEmbedding = try InitialEmbedding(url)
      #expect(!settings.findsInitializer)
      var encoders: [(Component, CLIPTokenizer)] = []
      for (component, _) in model.shape.textComponents { encoders.append((component, try model.tokenizer(component))) }
      let word = try #require(try settings.initialEmbedding?.word())
      let initial = try InitialRows(
        settings.words, embedding: word, encoders: encoders, model: model, optimizer: AdamW())
      for (component, expected) in rows {
        #expect(initial.parameters[ParameterName(component, "<toy>")] == expected.rows([0, 1, 0]))
      }
      // Rows for one encoder alone are another kind of model's.
      let first = EmbeddingFile(word: "<old>", rows: rows.filter { $0.key == .textEncoder })
      let error = #expect(throws: UserError.self) {
        try InitialRows(settings.words, embedding: first, encoders: encoders, model: model, optimizer: AdamW())
      }
      #expect(error?.kind == .badData)

      // Another word under the same name is not what the run was started from.
      rows[.textEncoder]?.values[0] += 1
      _ = try EmbeddingForm.encoders.write([EmbeddingFile(word: "<old>", rows: rows)], to: url)
      let changed = #expect(throws: UserError.self) { try settings.initialEmbedding?.word() }
      #expect(changed?.kind == .badData)
    }
  }
}
