import DemoModel
import Foundation
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing
import TextualInversion

/// A run that is stopped and gone on with ends in the bytes of one that never stopped.
@Suite(.serialized) struct ResumeTests {
  private static let steps = 5

  private func settings(
    _ precision: ElementType, _ method: TrainingMethod, initializer: String = "striped cat"
  ) throws -> TrainingSettings {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<my-cat>", vectors: 2), initializer: initializer, kind: .subject, resolution: 32,
      precision: precision, method: method)
    settings.steps = Self.steps
    settings.batchSize = 2
    settings.accumulation = 2
    settings.flips = true
    settings.schedule = .cosine
    settings.warmupSteps = 2
    // Everything that a loss can have.
    settings.loss.huber = HuberThreshold()
    settings.loss.snrGamma = 5
    settings.loss.noiseOffset = 0.1
    settings.loss.timesteps = 100..<900
    if method != .spherical { settings.loss.maxGradientNorm = 1e-3 }
    settings.captions.shuffles = true
    return settings
  }

  /// Trains until `stop` steps are done, in `folder`; from the newest checkpoint in it where `resumes`.
  private func train<B: Backend>(
    on backend: B, in url: URL, until stop: Int, resumes: Bool = false, every: Int? = nil,
    method: TrainingMethod = .plain, initializer: String = "striped cat", model: URL = DemoModel.model,
    pictures: URL = DemoConcept.myCat.folder
  ) throws {
    let folder = try resumes ? RunFolder(resuming: url) : RunFolder(new: url)
    #expect(!resumes || folder.earlier?.checkpoint != nil)
    let run = try TrainingRun(
      model: DiffusersFolder(model), pictures: pictures,
      settings: settings(backend.precision, method, initializer: initializer), folder: folder,
      checkpoints: CheckpointPolicy(every: every), makeBackend: { _ in backend })
    let outcome = try run.run { event, run in
      if case .stepped(let result) = event, result.step >= stop { run.requestStop() }
    }
    #expect((outcome == .finished) == (stop >= Self.steps))
  }

  @Test(arguments: TestBackends.all) func bytesAreTheSame(backend: TestBackend) throws {
    try expectSameBytes(on: backend, .plain)
  }

  @Test(arguments: TestBackends.float32 + TestBackends.all(.float16)) func bytesAreTheSameOnTheSphere(
    backend: TestBackend
  ) throws {
    try expectSameBytes(on: backend, .spherical)
  }

  @Test(arguments: TestBackends.float32 + TestBackends.all(.float16)) func bytesAreTheSameOfTwoEncoders(
    backend: TestBackend
  ) throws {
    try expectSameBytes(
      on: backend, .plain, model: Fixtures.url("models/tiny-sdxl"), and: ["learned_embeds_2.safetensors"])
  }

  @Test(arguments: TestBackends.float32) func bytesAreTheSameByProdigy(backend: TestBackend) throws {
    try expectSameBytes(on: backend, .prodigy)
  }

  /// The words that are found to start from are the run's from then on.
  @Test(arguments: TestBackends.float32) func bytesAreTheSameFromFoundWords(backend: TestBackend) throws {
    try expectSameBytes(on: backend, .spherical, initializer: "")
  }

  private func expectSameBytes(
    on backend: TestBackend, _ method: TrainingMethod, initializer: String = "striped cat",
    model: URL = DemoModel.model, and more: [String] = []
  ) throws {
    try backend.run { backend in
      try TemporaryFolder.with { parent in
        let unbroken = parent.appendingPathComponent("unbroken")
        let broken = parent.appendingPathComponent("broken")
        try train(on: backend, in: unbroken, until: Self.steps, method: method, initializer: initializer, model: model)
        try train(on: backend, in: broken, until: 2, method: method, initializer: initializer, model: model)
        try train(
          on: backend, in: broken, until: Self.steps, resumes: true, method: method, initializer: initializer,
          model: model)
        try expectSameFiles(
          ["learned_embeds.safetensors", "my-cat.safetensors", "metrics.csv"] + more, broken, unbroken)
      }
    }
  }

  /// What a kill leaves is a metrics file that is ahead of the checkpoint, and cut in its last line.
  @Test func metricsAheadOfTheCheckpointAreTakenBack() throws {
    try TestBackends.float32[0].run { backend in
      try TemporaryFolder.with { parent in
        let unbroken = parent.appendingPathComponent("unbroken")
        let killed = parent.appendingPathComponent("killed")
        try train(on: backend, in: unbroken, until: Self.steps)
        try train(on: backend, in: killed, until: 4, every: 2)
        try FileManager.default.removeItem(
          at: killed.appendingPathComponent("checkpoints/step-00000004.safetensors"))
        let metrics = try FileHandle(forUpdating: killed.appendingPathComponent("metrics.csv"))
        try metrics.seekToEnd()
        try metrics.write(contentsOf: Data("5,0.0".utf8))
        try metrics.close()
        try train(on: backend, in: killed, until: Self.steps, resumes: true)
        try expectSameFiles(
          ["learned_embeds.safetensors", "my-cat.safetensors", "metrics.csv"], killed, unbroken)
      }
    }
  }

  /// With captions whose parts are shuffled and now and then left out. One that is changed, added or taken away is another run.
  @Test(arguments: TestBackends.float32) func bytesAreTheSameWithCaptions(backend: TestBackend) throws {
    try backend.run { backend in
      try TemporaryFolder.with { parent in
        let pictures = parent.appendingPathComponent("pictures")
        let caption = pictures.appendingPathComponent("1.txt")
        let (unbroken, broken) = (parent.appendingPathComponent("unbroken"), parent.appendingPathComponent("broken"))
        let plain = parent.appendingPathComponent("plain")
        try FileManager.default.copyItem(at: DemoConcept.myCat.folder, to: pictures)
        try train(on: backend, in: plain, until: Self.steps, pictures: pictures)
        for name in 1...5 {
          try Data("on a beach, sunny, warm, windy".utf8).write(to: pictures.appendingPathComponent("\(name).txt"))
        }
        try train(on: backend, in: unbroken, until: Self.steps, pictures: pictures)
        try train(on: backend, in: broken, until: 2, pictures: pictures)
        let old = try Data(contentsOf: caption)
        for text in ["on a hill", nil] {
          try FileManager.default.removeItem(at: caption)
          try text.map { try Data($0.utf8).write(to: caption) }
          let error = userError {
            try train(on: backend, in: broken, until: Self.steps, resumes: true, pictures: pictures)
          }
          #expect(error?.message.contains("the caption 1.txt") == true)
          try old.write(to: caption)
        }
        try train(on: backend, in: broken, until: Self.steps, resumes: true, pictures: pictures)
        func rows(_ folder: URL) throws -> Data {
          try Data(contentsOf: folder.appendingPathComponent("learned_embeds.safetensors"))
        }
        #expect(try rows(broken) == rows(unbroken))
        #expect(try rows(plain) != rows(unbroken))
      }
    }
  }

  @Test func anotherModelOrOtherPicturesAreRefused() throws {
    try TestBackends.float32[0].run { backend in
      try TemporaryFolder.with { folder in
        try train(on: backend, in: folder, until: 1)
        let error = #expect(throws: UserError.self) { try refuse(backend, folder) }
        #expect(error?.kind == .badData)
        #expect(error?.message.contains("1.png") == true)
      }
    }
  }

  private func refuse<B: Backend>(_ backend: B, _ folder: URL) throws {
    _ = try TrainingRun(
      model: DiffusersFolder(DemoModel.model), pictures: DemoConcept.nightTree.folder,
      settings: settings(backend.precision, .plain),
      folder: RunFolder(resuming: folder), makeBackend: { _ in backend })
  }
}
