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
    let concept = try Concept(settings, pictures: DemoConcept.myCat.folder, for: model.shape)
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

  /// A model that gives no numbers is a person's to mend, whether its loss tells or its gradient; so is one that a run looks for words with.
  @Test(arguments: ["loss", "gradient"]) func aSearchWithoutNumbersIsRefused(what: String) throws {
    let tampering = Tampering()
    tampering.download = { tensor in
      let isIt = what == "loss" ? tensor.shape == [1] : tensor.shape.rank == 2
      return isIt ? HostTensor(repeating: .nan, tensor.shape) : tensor
    }
    func backend(_ type: ElementType) throws -> Tampered<CPUBackend> {
      Tampered(try CPUBackend(precision: type), tampering)
    }
    let settings = try settings(vectors: 1)
    let pictures = DemoConcept.myCat.folder
    let model = try DiffusersFolder(DemoModel.model)
    expectRefusal(.badData, "no number", "--precision f32") {
      _ = try PictureWords(model: model, pictures: pictures, settings: settings, makeBackend: backend).find()
    }
    try TemporaryFolder.with { url in
      let run = try TrainingRun(
        model: model, pictures: pictures, settings: settings, folder: RunFolder(new: url), makeBackend: backend)
      expectRefusal(.badData, "no number", "--precision f32") { _ = try run.run() }
    }
  }

  /// Whoever stops it need not wait for the pictures, nor for the search.
  @Test(arguments: [1, 3, 6, 10]) func theSearchStopsAtOnce(asked: Int) throws {
    let settings = try settings(vectors: 1)
    let words = try PictureWords(
      model: DiffusersFolder(DemoModel.model), pictures: DemoConcept.myCat.folder, settings: settings,
      makeBackend: { try CPUBackend(precision: $0) })
    var (times, told) = (0, 0)
    let found = try words.find(
      shouldStop: {
        times += 1
        return times == asked
      }, progress: { _ in told += 1 })
    // Asked once before the pictures, and behind each of the five.
    #expect(found == nil && times == asked && told == max(0, asked - 6))
  }

  /// What a step costs is seen without words to start from.
  @Test func aTrialLooksForNoWords() throws {
    try TemporaryFolder.with { url in
      let run = try TrainingRun(
        model: DiffusersFolder(DemoModel.model), pictures: DemoConcept.myCat.folder, settings: settings(vectors: 1),
        folder: RunFolder(new: url), makeBackend: { try CPUBackend(precision: $0) })
      var names: [String] = []
      let observer = ClosureObserver { event, run in
        if case .searched = event { names.append("searched") }
        if case .stepped = event {
          names.append("stepped")
          run.requestStop()
        }
      }
      #expect(try run.run([observer], findsWords: false) == .stopped)
      #expect(names == ["stepped"])
    }
  }

  /// Training and looking for words need the VAE's encoder alone, drawing its decoder.
  @Test func halfOfTheVAEIsEnough() throws {
    let vae = "vae/diffusion_pytorch_model.safetensors"
    let whole = try SafetensorsFile(DemoModel.model.appendingPathComponent(vae))
    func model(_ parts: [String], in folder: URL) throws -> DiffusersFolder {
      try FileManager.default.copyItem(at: DemoModel.model, to: folder)
      let file = folder.appendingPathComponent(vae)
      try FileManager.default.removeItem(at: file)
      try Safetensors.write(
        whole.names.filter { name in parts.contains { name.hasPrefix($0 + ".") } }.map { ($0, try whole.tensor($0)) },
        metadata: [:], to: file)
      return try DiffusersFolder(folder)
    }
    try TemporaryFolder.with { parent in
      let encoding = try model(["encoder", "quant_conv"], in: parent.appendingPathComponent("encoding"))
      let decoding = try model(["decoder", "post_quant_conv"], in: parent.appendingPathComponent("decoding"))
      var settings = try settings(vectors: 1, initializer: "cat")
      settings.steps = 1
      let run = try TrainingRun(
        model: encoding, pictures: DemoConcept.myCat.folder, settings: settings,
        folder: RunFolder(new: parent.appendingPathComponent("run")), makeBackend: { try CPUBackend(precision: $0) })
      #expect(try run.run() == .finished)
      let words = try PictureWords(
        model: encoding, pictures: DemoConcept.myCat.folder, settings: settings,
        makeBackend: { try CPUBackend(precision: $0) })
      var hasBegun = false
      _ = try words.find(shouldStop: { hasBegun }, progress: { _ in hasBegun = true })
      #expect(hasBegun)
      let generator = try Generator(
        model: decoding, embeddings: [], precision: .float32, makeBackend: { try CPUBackend(precision: $0) })
      var drawn = GenerationSettings(prompt: "a cat", width: 32, height: 32)
      drawn.steps = 1
      #expect(try generator.picture(drawn).width == 32)
    }
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
