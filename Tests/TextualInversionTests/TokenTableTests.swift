import CPUBackend
import DemoModel
import Foundation
import ModelFiles
import StableDiffusion
import Synchronization
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// A text encoder's token table is the largest tensor that a word needs before the model is loaded: it is read once.
@Suite struct TokenTableTests {
  /// A model whose weights are counted as they are taken.
  private final class CountedModel: ModelSource {
    let base: DiffusersFolder
    let counts = Mutex<[String: Int]>([:])

    init(_ url: URL) throws { base = try DiffusersFolder(url) }

    var name: String { base.name }
    var location: URL? { base.location }
    var warn: @Sendable (String) -> Void { base.warn }
    var schedulerFile: URL? { base.schedulerFile }
    func textEncoder(_ component: Component) throws(UserError) -> CLIPTextConfiguration {
      try base.textEncoder(component)
    }
    func unet() throws(UserError) -> UNetConfiguration { try base.unet() }
    func autoencoder() throws(UserError) -> AutoencoderConfiguration { try base.autoencoder() }
    func scheduler() throws(UserError) -> SchedulerConfiguration { try base.scheduler() }
    func tokenizer(_ component: Component) throws(UserError) -> CLIPTokenizer { try base.tokenizer(component) }
    func sha256() throws(UserError) -> [String: String] { try base.sha256() }
    func weights(_ component: Component) throws(UserError) -> any WeightSource {
      CountedWeights(base: try base.weights(component), model: self, component: component)
    }
  }

  private final class CountedWeights: WeightSource {
    let base: any WeightSource
    let model: CountedModel
    let component: Component

    init(base: any WeightSource, model: CountedModel, component: Component) {
      (self.base, self.model, self.component) = (base, model, component)
    }

    func take(_ name: String, _ shape: Shape) throws(UserError) -> HostTensor {
      model.counts.withLock { $0["\(component.rawValue)/\(name)", default: 0] += 1 }
      return try base.take(name, shape)
    }
    func contains(_ name: String) -> Bool { base.contains(name) }
    func finish(passingOver paths: [String]) throws(UserError) { try base.finish(passingOver: paths) }
  }

  private static let models = [DemoModel.model, Fixtures.url("models/tiny-sdxl")]

  private func expectOnce(_ model: CountedModel) throws {
    let counts = model.counts.withLock { $0 }
    for (component, _) in try StableDiffusionModel(model.base).shape.textComponents {
      #expect(counts["\(component.rawValue)/text_model.embeddings.token_embedding.weight"] == 1)
    }
    #expect(counts.values.allSatisfy { $0 == 1 }, "\(counts.filter { $0.value > 1 })")
  }

  @Test(arguments: models) func aRunReadsItOnce(_ url: URL) throws {
    try TemporaryFolder.with { folder in
      let model = try CountedModel(url)
      var settings = TrainingSettings(
        placeholder: try Placeholder("<my-cat>", vectors: 2), initializer: "cat", kind: .subject, resolution: 32,
        precision: .float32, method: .plain)
      settings.steps = 1
      let run = try TrainingRun(
        model: model, pictures: DemoConcept.myCat.folder, settings: settings, folder: RunFolder(new: folder),
        makeBackend: { try CPUBackend(precision: $0) })
      // What follows is the page's: the words that the rows lie near.
      var isStarted = false
      let outcome = try run.run { event, _ in
        guard case .started = event else { return }
        isStarted = true
        try self.expectOnce(model)
      }
      #expect(outcome == .finished && isStarted)
    }
  }

  @Test(arguments: models) func drawingReadsItOnce(_ url: URL) throws {
    let model = try CountedModel(url)
    var rows: [Component: HostTensor] = [:]
    for (component, configuration) in try StableDiffusionModel(model).shape.textComponents {
      rows[component] = HostTensor(repeating: 0.01, [2, configuration.width])
    }
    for embeddings in [[], [EmbeddingFile(word: "<toy>", rows: rows)]] {
      model.counts.withLock { $0 = [:] }
      _ = try Generator(
        model: model, embeddings: embeddings, precision: .float32, makeBackend: { try CPUBackend(precision: $0) })
      try expectOnce(model)
    }
  }
}
