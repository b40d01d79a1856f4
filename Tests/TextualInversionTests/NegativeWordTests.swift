import CPUBackend
import DemoModel
import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors
import TestSupport
import Testing

@testable import TextualInversion

@Suite(.serialized) struct NegativeWordTests {
  /// Loss and gradients of a word and of its negative against PyTorch's autograd in double precision (Tools/reference/negative.py):
  /// a model of noise, one of velocity, and one with two text encoders.
  @Test(arguments: ["tiny-sd1", "tiny-sd2", "tiny-sdxl-v"], TestBackends.float32)
  func gradientsAreThoseOfPyTorch(name: String, backend: TestBackend) throws {
    try backend.run { try check(name, on: $0) }
  }

  private func check<B: Backend>(_ name: String, on backend: B) throws {
    let expected = try SafetensorsFile(Fixtures.url("models/\(name)/replay-negative.safetensors"))
    let guidance = try #require(expected.metadata["guidance"].flatMap(Float.init))
    func suffix(_ component: Component) -> String { component == .textEncoder2 ? "_2" : "" }
    var rows: [Component: HostTensor] = [:]
    for component in [Component.textEncoder, .textEncoder2] where expected.contains("negative_rows\(suffix(component))")
    {
      rows[component] = try expected.tensor("negative_rows\(suffix(component))")
    }
    let traced = try TracedTrainer(name, on: backend, optimizer: AdamW(), beside: ("<not>", rows))
    let (trace, trainer, encoders) = (traced.trace, traced.trainer, traced.model.shape.textComponents)
    let losses = try expected.tensor("losses").values
    for entry in losses.indices {
      let draws = try trace.batch(step: entry / trace.accumulation, microBatch: entry % trace.accumulation)
      let negative = try encoders.map { encoder in
        let ids = try expected.integers("negative_ids\(suffix(encoder.component))").values.map(Int32.init)
        return TokenBatch(
          ids: draws.timesteps.flatMap { _ in ids }, batch: draws.timesteps.count, length: ids.count)
      }
      let batch = Batch(
        latents: draws.latents, noise: draws.noise, timesteps: draws.timesteps, tokens: draws.tokens, cuts: draws.cuts,
        negative: NegativePrompts(tokens: negative, guidance: guidance))
      let loss = try trainer.loss(of: batch)
      #expect(abs(loss - losses[entry]) <= 1e-5 * losses[entry], "loss \(entry): \(loss), not \(losses[entry])")
      let gradients = try trainer.gradients(of: [batch])
      for (component, _) in encoders {
        let all = try expected.tensor("gradients\(suffix(component))")
        let size = all.shape[1] * all.shape[2] / 2
        for (word, index) in [(TracedTrainer<B>.word, 0), ("<not>", 1)] {
          let start = (2 * entry + index) * size
          let found = try #require(gradients[ParameterName(component, word)])
          let error = error(of: found.values, all.values[start..<start + size])
          #expect(error <= 1e-5, "\(component) \(word) \(entry): \(error)")
        }
      }
    }
  }

  /// Relative to the largest of the reference.
  private func error(of values: [Float], _ reference: ArraySlice<Float>) -> Float {
    let largest = reference.reduce(0) { max($0, abs($1)) }
    guard values.count == reference.count, largest > 0 else { return .infinity }
    return zip(values, reference).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest
  }

  /// Both words are left in files, the negative one marked as such, and a run that was stopped ends as one that was not.
  @Test(arguments: ElementType.allCases) func aRunLeavesBothWords(precision: ElementType) throws {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<my-cat>", vectors: 2), initializer: "striped cat", kind: .subject, resolution: 32,
      precision: precision)
    settings.steps = 4
    settings.heldOut.draws = 4
    try settings.teachNegative("<not-my-cat>")
    func train(_ url: URL, until stop: Int = .max, resumes: Bool = false) throws -> [EmbeddingFile] {
      let run = try TrainingRun(
        model: DiffusersFolder(DemoModel.model), pictures: DemoConcept.myCat.folder, settings: settings,
        folder: resumes ? RunFolder(resuming: url) : RunFolder(new: url), makeBackend: { try CPUBackend(precision: $0) }
      )
      _ = try run.run { event, run in
        if case .stepped(let result) = event, result.step == stop { run.requestStop() }
      }
      return run.embeddings
    }
    try TemporaryFolder.with { parent in
      let (unbroken, stopped) = (parent.appendingPathComponent("a"), parent.appendingPathComponent("b"))
      let words = try train(unbroken)
      #expect(words.map(\.word) == ["<my-cat>", "<not-my-cat>"])
      // They start alike and are led apart.
      let (own, other) = (try #require(words[0].rows[.textEncoder]), try #require(words[1].rows[.textEncoder]))
      #expect(error(of: own.values, other.values[...]) > 0.01)
      for (name, isNegative) in [("my-cat", false), ("not-my-cat", true)] {
        let file = try SafetensorsFile(unbroken.appendingPathComponent("\(name).safetensors"))
        #expect((file.metadata["modelspec.is_negative_embedding"] == "true") == isNegative, "\(name)")
      }
      _ = try train(stopped, until: 2)
      _ = try train(stopped, resumes: true)
      for name in ["learned_embeds.safetensors", "metrics.csv", "checkpoints/step-00000004.safetensors"] {
        let (a, b) = try (
          Data(contentsOf: unbroken.appendingPathComponent(name)),
          Data(contentsOf: stopped.appendingPathComponent(name))
        )
        #expect(a == b, "\(name)")
      }
    }
  }

  @Test func itGoesWithOneWord() throws {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<a>", vectors: 1), initializer: "cat", kind: .object, resolution: 32,
      precision: .float32)
    try settings.teachNegative("<b>")
    try settings.validate()
    settings.negativeGuidance = 1
    expectRefusal(.usage, "--negative-guidance") { try settings.validate() }
    settings.negativeGuidance = 3
    settings.otherWords.append(Word(try Placeholder("<c>", vectors: 1), initializer: "cat"))
    expectRefusal(.usage, "--negative-token", "one word") { try settings.validate() }
  }
}
