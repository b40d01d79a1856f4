import CPUBackend
import DemoModel
import Foundation
import Images
import ModelFiles
import Operators
import StableDiffusion
import Synchronization
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// What the VAE made, kept on disk: a later run has the same numbers without the VAE, or makes them anew.
@Suite struct LatentFilesTests {
  /// The demo model, counting how often its VAE is loaded.
  private final class CountingSource: ModelSource {
    let folder: DiffusersFolder
    let loads = Mutex(0)

    init() throws { folder = try DiffusersFolder(DemoModel.model) }

    var name: String { folder.name }
    var location: URL? { folder.location }
    var warn: @Sendable (String) -> Void { { _ in } }
    var schedulerFile: URL? { folder.schedulerFile }
    func textEncoder(_ component: Component) throws(UserError) -> CLIPTextConfiguration {
      try folder.textEncoder(component)
    }
    func unet() throws(UserError) -> UNetConfiguration { try folder.unet() }
    func autoencoder() throws(UserError) -> AutoencoderConfiguration { try folder.autoencoder() }
    func scheduler() throws(UserError) -> SchedulerConfiguration { try folder.scheduler() }
    func tokenizer(_ component: Component) throws(UserError) -> CLIPTokenizer { try folder.tokenizer(component) }
    func sha256() throws(UserError) -> [String: String] { try folder.sha256() }
    func weights(_ component: Component) throws(UserError) -> any WeightSource {
      if component == .vae { loads.withLock { $0 += 1 } }
      return try folder.weights(component)
    }
  }

  private struct Outcome {
    let embedding: Data
    let loads: Int
    let warnings: [String]
  }

  /// Two steps over the demo's cats.
  private func train(_ output: URL, latents: URL?, flips: Bool = false, resolution: Int = 32) throws -> Outcome {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<my-cat>", vectors: 1), initializer: "cat", kind: .subject, resolution: resolution,
      precision: .float32)
    settings.steps = 2
    settings.flips = flips
    let source = try CountingSource()
    let run = try TrainingRun(
      model: source, pictures: DemoConcept.myCat.folder, settings: settings, folder: RunFolder(new: output),
      latentFolder: latents, makeBackend: { try CPUBackend(precision: $0) })
    var warnings: [String] = []
    _ = try run.run { event, _ in
      if case .warned(let line) = event { warnings.append(line) }
    }
    return Outcome(
      embedding: try Data(contentsOf: output.appendingPathComponent("learned_embeds.safetensors")),
      loads: source.loads.withLock { $0 }, warnings: warnings.filter { $0.contains("latents") })
  }

  private func entries(_ folder: URL) throws -> [URL] {
    try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
      .sorted { $0.path < $1.path }
  }

  @Test func theSecondRunNeedsNoVAE() throws {
    try TemporaryFolder.with { folder in
      let latents = folder.appendingPathComponent("cache/latents")
      func run(_ name: String, _ latents: URL?, flips: Bool = false, resolution: Int = 32) throws -> Outcome {
        try train(folder.appendingPathComponent(name), latents: latents, flips: flips, resolution: resolution)
      }
      let without = try run("without", nil)
      let first = try run("first", latents)
      #expect(without.loads == 1 && first.loads == 1 && first.embedding == without.embedding)
      #expect(try entries(latents).count == 5)
      let second = try run("second", latents)
      #expect(second.loads == 0 && second.embedding == without.embedding && second.warnings.isEmpty)
      // Mirrored pictures and pictures of another size are others.
      #expect(try run("flipped", latents, flips: true).loads == 1)
      #expect(try entries(latents).count == 10)
      #expect(try run("larger", latents, resolution: 64).loads == 1)
      #expect(try entries(latents).count == 15)
    }
  }

  /// Cut short, or with one bit another: a line each, the same word, and whole entries afterwards.
  @Test func damagedEntriesAreMadeAnew() throws {
    try TemporaryFolder.with { folder in
      let latents = folder.appendingPathComponent("latents")
      let whole = try train(folder.appendingPathComponent("1"), latents: latents)
      let files = try entries(latents)
      let before = try files.map { try Data(contentsOf: $0) }
      var changed = before[0]
      changed[changed.count - 7] ^= 1
      try changed.write(to: files[0])
      try before[1].prefix(before[1].count / 2).write(to: files[1])
      try Data().write(to: files[2])
      let again = try train(folder.appendingPathComponent("2"), latents: latents)
      #expect(again.embedding == whole.embedding && again.loads == 1 && again.warnings.count == 3)
      #expect(again.warnings.contains { $0.contains(files[0].path) && $0.contains("damaged") })
      #expect(try entries(latents).map { try Data(contentsOf: $0) } == before)
    }
  }

  /// A folder that can't be made is no reason to fail.
  @Test func aFolderThatCannotBeWrittenIsOnlySlow() throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("file")
      try Data().write(to: file)
      let outcome = try train(folder.appendingPathComponent("1"), latents: file.appendingPathComponent("latents"))
      #expect(outcome.loads == 1 && outcome.warnings.isEmpty)
    }
  }

  private let dot = Picture(width: 1, height: 1, color: .white)

  @Test func namesSayWhatDecidesTheNumbers() throws {
    let folder = URL(fileURLWithPath: "/cache")
    let wide = Picture(width: 2, height: 1, color: .white)
    let tall = Picture(width: 1, height: 2, color: .white)
    let names = [
      LatentFiles(folder, vae: ["vae/a": "1"], device: "CPU").file(of: wide),
      LatentFiles(folder, vae: ["vae/a": "1"], device: "CPU").file(of: tall),
      LatentFiles(folder, vae: ["vae/a": "1"], device: "GPU").file(of: wide),
      LatentFiles(folder, vae: ["vae/a": "2"], device: "CPU").file(of: wide),
      LatentFiles(folder, vae: ["vae/b": "1"], device: "CPU").file(of: wide),
      LatentFiles(folder, vae: ["vae/a": "1"], device: "CPU").file(of: dot),
    ].compactMap { $0?.path }
    #expect(Set(names).count == 6 && names.allSatisfy { $0.hasPrefix("/cache/") })
    #expect(LatentFiles(folder, vae: ["vae/a": "1"], device: "CPU").file(of: wide)?.path == names[0])
    #expect(LatentFiles(nil, vae: [:], device: "CPU").file(of: dot) == nil)
    let model = Fingerprint(model: ["vae/w": "1", "unet/w": "2", "configuration/vae/c": "3"], pictures: [:])
    #expect(model.vae == ["vae/w": "1", "configuration/vae/c": "3"])
    #expect(Fingerprint(model: ["m.ckpt": "1"], pictures: [:]).vae == ["m.ckpt": "1"])
  }

  @Test func standsInTheUsersCacheFolder() {
    func folder(_ environment: [String: String]) -> String? {
      LatentFiles.standardFolder(environment: environment)?.path
    }
    #expect(folder(["HOME": "/h"]) == "/h/.cache/ti-gpu/latents")
    #expect(folder(["XDG_CACHE_HOME": "/x", "HOME": "/h"]) == "/x/ti-gpu/latents")
    #expect(folder(["TI_GPU_LATENT_CACHE": "/l", "HOME": "/h"]) == "/l")
    #expect(folder(["TI_GPU_LATENT_CACHE": "off", "HOME": "/h"]) == nil)
    #expect(folder([:]) == nil)
  }

  /// The entries that were longest out of use go first, and no more of them than has to.
  @Test func theFolderKeepsUnderItsLimit() throws {
    try TemporaryFolder.with { folder in
      let moments = HostTensor([1, 1, 1, 256], (0..<256).map(Float.init))
      let unlimited = LatentFiles(folder, vae: [:], device: "")
      let pictures = (1...6).map { Picture(width: $0, height: 1, color: .black) }
      let files = pictures.compactMap(unlimited.file)
      for (age, file) in files.enumerated() {
        unlimited.store(moments, in: file)
        let used = Date(timeIntervalSinceNow: Double(age - 100) * 60)
        try FileManager.default.setAttributes([.modificationDate: used], ofItemAtPath: file.path)
      }
      try Data(count: 10_000).write(to: folder.appendingPathComponent("something else"))
      let size = try Data(contentsOf: files[0]).count
      // The oldest is used once more.
      #expect(unlimited.load(files[0], warn: { _ in }) == moments)
      LatentFiles(folder, vae: [:], device: "", limit: 3 * size + 10).trim()
      let left = Set(try entries(folder).map(\.lastPathComponent))
      #expect(left == Set(([files[0], files[4], files[5]]).map(\.lastPathComponent) + ["something else"]))
    }
  }

  /// Many at once write and read the same entries: each finds a whole one or none.
  @Test func manyAtOnceFindWholeEntries() throws {
    try TemporaryFolder.with { folder in
      let files = LatentFiles(folder, vae: [:], device: "")
      let pictures = (1...3).map { Picture(width: $0, height: 1, color: .black) }
      let wrong = Mutex(0)
      DispatchQueue.concurrentPerform(iterations: 60) { turn in
        let number = turn % 3
        guard let file = files.file(of: pictures[number]) else { return }
        let moments = HostTensor([1, 1, 1, 5000], Array(repeating: Float(number), count: 5000))
        if turn % 2 == 0 { files.store(moments, in: file) }
        let found = files.load(file) { _ in wrong.withLock { $0 += 1 } }
        if let found, found != moments { wrong.withLock { $0 += 1 } }
      }
      #expect(wrong.withLock { $0 } == 0)
      for (number, picture) in pictures.enumerated() {
        let file = try #require(files.file(of: picture))
        #expect(files.load(file, warn: { _ in })?.values.first == Float(number))
      }
    }
  }
}
