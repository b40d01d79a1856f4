import DemoModel
import Foundation
import Images
import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

@testable import TextualInversion

/// A run over pictures as people have them that is stopped and gone on with ends in the bytes of one that never stopped.
@Suite(.serialized) struct PictureSetResumeTests {
  private static let steps = 6

  /// Pictures of several shapes: the demo's cats whole, wide and tall.
  private func makePictures(in folder: URL) throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for (index, (width, height)) in [(64, 64), (64, 40), (40, 64), (64, 30), (64, 64)].enumerated() {
      let picture = try Picture(contentsOf: DemoConcept.myCat.folder.appendingPathComponent("\(index + 1).png"))
      try picture.cropped(x: 0, y: 0, width: width, height: height).encodedPNG().write(
        to: folder.appendingPathComponent("\(index + 1).png"))
    }
  }

  /// A disc, for three of the pictures.
  private func makeMasks(in folder: URL) throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let levels = (0..<32 * 32).map { (place: Int) -> UInt8 in
      let (x, y) = (place % 32 - 15, place / 32 - 15)
      return x * x + y * y < 150 ? 255 : 40
    }
    let mask = Picture(width: 32, height: 32, pixels: levels.flatMap { [$0, $0, $0] })
    for name in ["1.png", "2.png", "5.png"] { try mask.encodedPNG().write(to: folder.appendingPathComponent(name)) }
  }

  private func settings(_ precision: ElementType) throws -> TrainingSettings {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<my-cat>", vectors: 2), initializer: "cat", kind: .subject, resolution: 32,
      precision: precision)
    settings.steps = Self.steps
    settings.batchSize = 2
    settings.flips = true
    settings.fitting = .random
    return settings
  }

  private func train<B: Backend>(
    on backend: B, _ pictures: URL, in url: URL, until stop: Int, resumes: Bool = false, latents: URL? = nil
  ) throws {
    let folder = try resumes ? RunFolder(resuming: url) : RunFolder(new: url)
    let run = try TrainingRun(
      model: DiffusersFolder(DemoModel.model), pictures: pictures,
      masks: pictures.deletingLastPathComponent().appendingPathComponent("masks"),
      settings: settings(backend.precision), folder: folder,
      latentFolder: latents, makeBackend: { _ in backend })
    #expect(Set(run.concept.pictures.map { [$0.picture.width, $0.picture.height] }).count > 2)
    let outcome = try run.run { event, run in
      if case .stepped(let result) = event, result.step >= stop { run.requestStop() }
    }
    #expect((outcome == .finished) == (stop >= Self.steps))
  }

  @Test(arguments: TestBackends.float32 + TestBackends.all(.float16)) func bytesAreTheSame(backend: TestBackend) throws
  {
    try backend.run { backend in
      try TemporaryFolder.with { parent in
        let pictures = parent.appendingPathComponent("pictures")
        try makePictures(in: pictures)
        try makeMasks(in: parent.appendingPathComponent("masks"))
        let (unbroken, broken) = (parent.appendingPathComponent("unbroken"), parent.appendingPathComponent("broken"))
        try train(on: backend, pictures, in: unbroken, until: Self.steps)
        // What the VAE made is kept by the first part, and read by the second.
        let latents = parent.appendingPathComponent("latents")
        try train(on: backend, pictures, in: broken, until: 3, latents: latents)
        try train(on: backend, pictures, in: broken, until: Self.steps, resumes: true, latents: latents)
        for name in ["learned_embeds.safetensors", "metrics.csv"] {
          let expected = try Data(contentsOf: unbroken.appendingPathComponent(name))
          #expect(try Data(contentsOf: broken.appendingPathComponent(name)) == expected, "\(name)")
        }
      }
    }
  }
}
