import CPUBackend
import DemoModel
import Foundation
import ModelFiles
import StableDiffusion
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// Words of Stable Diffusion XL in its two text encoders. Their numbers are held to PyTorch's by ReplayTests.
@Suite(.serialized) struct TwoEncoderTests {
  private static let model = Fixtures.url("models/tiny-sdxl")

  /// A run of two steps from "cat"; the rows it leaves.
  private func train(_ encoders: TrainedEncoders, model: URL = model) throws -> [Component: HostTensor] {
    var rows: [Component: HostTensor] = [:]
    try TemporaryFolder.with { folder in
      var settings = TrainingSettings(
        placeholder: try Placeholder("<my-cat>", vectors: 2), initializer: "cat", kind: .subject, resolution: 32,
        precision: .float32, method: .plain)
      settings.steps = 2
      settings.encoders = encoders
      let run = try TrainingRun(
        model: DiffusersFolder(model), pictures: DemoConcept.myCat.folder, settings: settings,
        folder: RunFolder(new: folder), makeBackend: { try CPUBackend(precision: $0) })
      #expect(try run.run() == .finished)
      rows = try EmbeddingFile.read(folder.appendingPathComponent("my-cat.safetensors")).first?.rows ?? [:]
      #expect(folder.appendingPathComponent("learned_embeds_2.safetensors").isThere)
    }
    return rows
  }

  /// The rows of an encoder that is not trained stay those of the initializer, which the other learns beside; both are in the
  /// files.
  @Test(arguments: [
    (TrainedEncoders.both, [Component.textEncoder, .textEncoder2]), (.clipL, [.textEncoder]), (.clipG, [.textEncoder2]),
  ])
  func rowsOfWhatIsNotTrainedStay(_ encoders: TrainedEncoders, _ trained: [Component]) throws {
    let rows = try train(encoders)
    #expect(rows.count == 2)
    let opened = try StableDiffusionModel(DiffusersFolder(Self.model))
    for (component, rows) in rows {
      let table = try opened.tokenTable(component)
      let width = table.shape.channels
      let ids = try opened.tokenizer(component).tokens("cat")
      let start = (0..<2).flatMap { row in
        let id = Int(ids[row % ids.count])
        return Array(table.values[id * width..<(id + 1) * width])
      }
      #expect((rows.values == start) != trained.contains(component), "\(component)")
    }
  }

  @Test func aModelOfOneEncoderHasNoOther() throws {
    let error = userError { _ = try train(.clipG, model: DemoModel.model) }
    #expect(error?.kind == .usage && error?.message.contains("--encoder") == true)
  }

  /// A word for one encoder alone is drawn with, and said to be such; one for an encoder that the model lacks is refused.
  @Test func aWordMayLackAnEncoder() throws {
    let widths = try StableDiffusionModel(DiffusersFolder(Self.model)).shape.textComponents
      .map { ($0.component, $0.configuration.width) }
    func generator(_ components: Set<Component>, _ model: URL) throws -> Generator<CPUBackend> {
      var rows: [Component: HostTensor] = [:]
      for (component, width) in widths where components.contains(component) {
        rows[component] = HostTensor(repeating: 0.01, [3, width])
      }
      return try Generator(
        model: DiffusersFolder(model), embeddings: [EmbeddingFile(word: "<a>", rows: rows)], precision: .float32,
        makeBackend: { try CPUBackend(precision: $0) })
    }
    var settings = GenerationSettings(prompt: "a photo of <a>", width: 32, height: 32)
    settings.steps = 2
    for (components, lines) in [
      ([.textEncoder, .textEncoder2], 0), ([.textEncoder], 1), ([.textEncoder2], 1),
    ] as [(Set<Component>, Int)] {
      var warnings: [String] = []
      let generator = try generator(components, Self.model)
      _ = try generator.picture(settings, warn: { warnings.append($0) })
      #expect(warnings.count == lines, "\(warnings)")
      #expect(generator.uses(settings).map(\.prompt) == [[4, 5, 6]])
    }
    #expect(userError { _ = try generator([.textEncoder, .textEncoder2], DemoModel.model) }?.kind == .badData)
  }
}
