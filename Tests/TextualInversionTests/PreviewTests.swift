import CPUBackend
import DemoModel
import Foundation
import Images
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// Previews are what `Generator`, which is held against diffusers, draws with the word's file; and a run with them ends in the
/// bytes of one without.
@Suite(.serialized) struct PreviewTests {
  private static let policy = PreviewPolicy(
    every: 2, prompts: ["a photo of {} on a green background", "<my-cat>"], negativePrompt: "red")

  private func train<B: Backend>(
    on backend: B, in folder: RunFolder, steps: Int = 5, policy: PreviewPolicy?, model: URL = DemoModel.model,
    observe: @escaping (RunEvent, RunContext) throws -> Void = { _, _ in }
  ) throws {
    var settings = try DemoRun.settings(steps: steps)
    settings.precision = backend.precision
    let run = try TrainingRun(
      model: DiffusersFolder(model), pictures: DemoConcept.myCat.folder, settings: settings, folder: folder,
      report: ReportPolicy(previews: policy ?? PreviewPolicy()), makeBackend: { _ in backend })
    _ = try run.run(observe)
  }

  private func previews(_ folder: URL) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.appendingPathComponent("previews").path).sorted()
  }

  private func expectSameBytes(_ a: URL, _ b: URL, _ more: [String] = []) throws {
    try expectSameFiles(["learned_embeds.safetensors", "my-cat.safetensors", "metrics.csv"] + more, a, b)
  }

  @Test(arguments: TestBackends.float32 + TestBackends.all(.float16)) func numbersStayAsTheyAre(backend: TestBackend)
    throws
  {
    try backend.run { backend in
      try TemporaryFolder.with { parent in
        let plain = parent.appendingPathComponent("plain")
        let seen = parent.appendingPathComponent("seen")
        let broken = parent.appendingPathComponent("broken")
        try train(on: backend, in: RunFolder(new: plain), policy: nil)
        try train(on: backend, in: RunFolder(new: seen), policy: Self.policy)
        try train(on: backend, in: RunFolder(new: broken), policy: Self.policy) { event, run in
          if case .stepped(let result) = event, result.step == 3 { run.requestStop() }
        }
        try train(on: backend, in: RunFolder(resuming: broken), policy: Self.policy)
        try expectSameBytes(plain, seen, ["checkpoints/step-00000005.safetensors"])
        try expectSameBytes(plain, broken, ["checkpoints/step-00000005.safetensors"])
        let files = [0, 2, 4, 5].flatMap { ["step-00000\($0)-1.png", "step-00000\($0)-2.png"] }
        #expect(try previews(seen) == files && previews(broken) == files)
        for name in files { try expectSameBytes(seen, broken, ["previews/\(name)"]) }
        #expect(!FileManager.default.fileExists(atPath: plain.appendingPathComponent("previews").path))
      }
    }
  }

  @Test(arguments: ["demo", "tiny-sdxl"]) func previewsAreTheGeneratorsPictures(_ name: String) throws {
    let model = name == "demo" ? DemoModel.model : Fixtures.url("models/\(name)")
    try TemporaryFolder.with { url in
      let backend = try CPUBackend(precision: .float32)
      var untrained: [EmbeddingFile] = []
      try train(on: backend, in: RunFolder(new: url), policy: Self.policy, model: model) { event, run in
        if case .started = event { untrained = run.embeddings }
      }
      let words = [
        (step: 0, words: untrained),
        (step: 5, words: try EmbeddingFile.read(url.appendingPathComponent("learned_embeds.safetensors"))),
      ]
      for (step, words) in words {
        let generator = try Generator(
          model: DiffusersFolder(model), embeddings: words, precision: .float32, makeBackend: { _ in backend })
        for (index, prompt) in ["a photo of <my-cat> on a green background", "<my-cat>"].enumerated() {
          var settings = GenerationSettings(prompt: prompt, width: 32, height: 32)
          settings.negativePrompt = "red"
          settings.sampler = .dpmSolverPP2M
          settings.steps = 15
          settings.seed = UInt64(index)
          let file = url.appendingPathComponent("previews/step-00000\(step)-\(index + 1).png")
          #expect(try Picture(contentsOf: file) == generator.picture(settings), "\(file.lastPathComponent)")
          let text = try PNGText.text("parameters", in: Data(contentsOf: file), limit: 1 << 16)
          #expect(
            text.map { String(decoding: $0, as: UTF8.self) }?.hasPrefix("\(prompt)\nNegative prompt: red\n") == true)
        }
      }
    }
  }

  /// What is asked for while the run goes on comes behind the next step: a checkpoint and previews, once each.
  @Test func checkpointAndPreviewsComeWhenAskedFor() throws {
    try TemporaryFolder.with { url in
      var events: [String] = []
      try train(on: CPUBackend(precision: .float32), in: RunFolder(new: url), policy: nil) { event, run in
        switch event {
        case .stepped(let result):
          events.append("step \(result.step)")
          if result.step == 2 {
            run.requestCheckpoint()
            run.requestPreview()
          }
        case .checkpointed(let step, _): events.append("checkpoint \(step)")
        case .previewed(let step, _): events.append("preview \(step)")
        default: break
        }
      }
      #expect(
        events == [
          "step 1", "step 2", "checkpoint 3", "preview 0", "preview 3", "step 3", "step 4", "step 5", "checkpoint 5",
        ])
      #expect(try previews(url) == ["step-000000-1.png", "step-000003-1.png"])
    }
  }

  /// Stopping gives a picture in the making up; what can't be drawn is a warning, and the run goes on.
  @Test func aRunDoesNotHangOnItsPreviews() throws {
    try TemporaryFolder.with { url in
      var asked = 0
      try train(on: CPUBackend(precision: .float32), in: RunFolder(new: url), policy: Self.policy) { event, run in
        guard case .previewing(let done, let total) = event else { return }
        #expect(total == 2 * 2 * 15)
        asked = done
        if done == 20 { run.requestStop() }
      }
      #expect(asked == 20)
      #expect(try TrainingReport(url.appendingPathComponent("training.json")).state == .stopped)
      // A round that was given up leaves nothing.
      #expect(!url.appendingPathComponent("previews").isThere)
    }
    try TemporaryFolder.with { url in
      try Data().write(to: url.appendingPathComponent("previews"))
      var warnings: [String] = []
      try train(on: CPUBackend(precision: .float32), in: RunFolder(new: url), policy: Self.policy) { event, _ in
        if case .warned(let line) = event { warnings.append(line) }
      }
      #expect(warnings.count == 1 && warnings[0].hasPrefix("no previews from step 2 on"), "\(warnings)")
      #expect(try TrainingReport(url.appendingPathComponent("training.json")).state == .finished)
    }
  }

  /// Of several words each is seen, from the same noise.
  @Test func eachTaughtWordIsDrawn() throws {
    var settings = try DemoRun.settings(steps: 1)
    settings.otherWords = [
      Word(try Placeholder("<b>", vectors: 1), initializer: "dog"),
      Word(try Placeholder("<c>", vectors: 1), initializer: "red", role: .private),
    ]
    let pictures = PreviewPolicy(prompts: ["<b> alone", "a {} on a {}"]).pictures(of: settings)
    #expect(pictures.map(\.prompt) == ["<b> alone", "a <my-cat> on a <my-cat>", "a <b> on a <b>"])
    #expect(pictures.map(\.seed) == [0, 1, 1])
  }

  @Test func whatCannotBeDrawnIsSaid() throws {
    try TemporaryFolder.with { url in
      let folder = try RunFolder(new: url)
      for policy in [PreviewPolicy(every: 0), PreviewPolicy(prompts: [" "])] {
        expectRefusal(.usage, "--preview-") {
          _ = try DemoRun.make(folder, DemoRun.settings(steps: 1), report: ReportPolicy(previews: policy))
        }
      }
      var warnings: [String] = []
      try train(
        on: CPUBackend(precision: .float32), in: folder, steps: 1, policy: PreviewPolicy(prompts: ["a cat"])
      ) { event, _ in
        if case .warned(let line) = event { warnings.append(line) }
      }
      #expect(warnings == ["preview: no prompt holds the word '<my-cat>'"])
    }
  }
}
