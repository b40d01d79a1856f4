import DemoModel
import Foundation
import Images
import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

@testable import TextualInversion

/// A run with every option on at once, over pictures as people have them, that is stopped in its midst and gone on with ends in the bytes of
/// one that never stopped.
@Suite(.serialized) struct EveryOptionResumeTests {
  /// Two words' pictures, of several shapes and with captions of several parts.
  private func makeConcepts(in folder: URL) throws {
    let sizes = [(64, 64), (64, 40), (40, 64), (64, 30), (64, 64)]
    for (concept, name, count) in [(DemoConcept.myCat, "3_cat cat", 5), (.rocketToy, "rocket toy", 2)] {
      let folder = folder.appendingPathComponent(name)
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      for (index, (width, height)) in sizes.prefix(count).enumerated() {
        let picture = try Picture(contentsOf: concept.folder.appendingPathComponent("\(index + 1).png"))
        let file = folder.appendingPathComponent("\(index + 1)")
        try picture.cropped(x: 0, y: 0, width: width, height: height).encodedPNG()
          .write(to: file.appendingPathExtension("png"))
        try Data("on a beach, sunny, warm, windy".utf8).write(to: file.appendingPathExtension("txt"))
      }
    }
  }

  /// A disc, for three pictures of the first word.
  private func makeMasks(in folder: URL) throws {
    let folder = folder.appendingPathComponent("3_cat cat")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let levels = (0..<32 * 32).map { (place: Int) -> UInt8 in
      let (x, y) = (place % 32 - 15, place / 32 - 15)
      return x * x + y * y < 150 ? 255 : 40
    }
    let mask = Picture(width: 32, height: 32, pixels: levels.flatMap { [$0, $0, $0] })
    for name in ["1.png", "2.png", "5.png"] { try mask.encodedPNG().write(to: folder.appendingPathComponent(name)) }
  }

  private func settings(_ precision: ElementType, _ concepts: URL) throws -> TrainingSettings {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<first>", vectors: 2), initializer: "toy", kind: .subject, resolution: 32,
      precision: precision, method: .spherical)
    settings.steps = 10
    settings.batchSize = 2
    settings.accumulation = 2
    settings.warmupSteps = 2
    try settings.teach(TaughtFolder.found(in: concepts))
    settings.fitting = .random
    settings.flips = true
    settings.captions.shuffles = true
    settings.captions.keptParts = 1
    settings.captions.dropout = 0.3
    settings.loss.huber = HuberThreshold()
    settings.loss.snrGamma = 5
    settings.loss.noiseOffset = 0.1
    settings.loss.timesteps = 100..<900
    settings.stopWhenSettled()
    settings.heldOut.draws = 2
    settings.heldOut.every = 1
    settings.heldOut.settling?.window = 3
    // So lax that it holds as soon as there are enough.
    settings.heldOut.settling?.threshold = 0.99
    return settings
  }

  /// - Returns: the steps that are done.
  private func train<B: Backend>(
    on backend: B, _ parent: URL, in name: String, until stop: Int = .max, resumes: Bool = false, latents: URL? = nil
  ) throws -> Int {
    let url = parent.appendingPathComponent(name)
    let concepts = parent.appendingPathComponent("concepts")
    let folder = try resumes ? RunFolder(resuming: url) : RunFolder(new: url)
    let settings = try settings(backend.precision, concepts)
    let run = try TrainingRun(
      model: DiffusersFolder(DemoModel.model), pictures: concepts, masks: parent.appendingPathComponent("masks"),
      settings: settings, folder: folder, latentFolder: latents, makeBackend: { _ in backend })
    // What is on is at work.
    #expect(settings.pictureSet.buckets && run.concept.words == [0, 0, 0, 0, 0, 1, 1])
    #expect(Set(run.concept.pictures.map { [$0.picture.width, $0.picture.height] }).count > 2)
    #expect(run.concept.masks.count(where: { $0 != nil }) == 3 && run.concept.captions.allSatisfy { $0 != nil })
    let outcome = try run.run { event, run in
      if case .stepped(let result) = event, result.step == stop { run.requestStop() }
    }
    #expect((outcome == .finished) == (stop == .max))
    return run.stepsDone
  }

  @Test(arguments: TestBackends.float32 + TestBackends.all(.float16)) func bytesAreTheSame(backend: TestBackend) throws
  {
    try backend.run { backend in
      try TemporaryFolder.with { parent in
        try makeConcepts(in: parent.appendingPathComponent("concepts"))
        try makeMasks(in: parent.appendingPathComponent("masks"))
        let last = try train(on: backend, parent, in: "unbroken")
        #expect(last >= 5 && last < 20, "\(last)")
        // What the VAE made is kept by the first part, and read by the second.
        let latents = parent.appendingPathComponent("latents")
        #expect(try train(on: backend, parent, in: "broken", until: 3, latents: latents) == 3)
        #expect(try train(on: backend, parent, in: "broken", resumes: true, latents: latents) == last)
        try expectSameFiles(
          [
            "learned_embeds.safetensors", "cat.safetensors", "rocket.safetensors", "metrics.csv",
            String(format: "checkpoints/step-%08d.safetensors", last),
          ], parent.appendingPathComponent("broken"), parent.appendingPathComponent("unbroken"))
      }
    }
  }
}
