import CPUBackend
import DemoModel
import Foundation
import Images
import ModelFiles
import StableDiffusion
import Tensors
import Testing

@testable import TextualInversion

/// From pictures to batches. What a batch must hold follows from the definition: every picture once a round, prompts, mirrors and
/// timesteps drawn for each sample by itself.
@Suite struct ConceptBatchesTests {
  private static let word = "<my-cat>"
  private static let templates = ["a photo of {}", "{} outdoors", "the small {}, drawn with a pencil"]
  private static let pictureCount = 5

  /// Five pictures that nobody mixes up, or up with their mirror images: a disc of a color of its own, left of the middle.
  private static let pictures: [Picture] = (0..<pictureCount).map { index in
    let side = 32
    var pixels: [UInt8] = []
    for y in 0..<side {
      for x in 0..<side {
        let isDisc = (x - 9) * (x - 9) + (y - 6 - 5 * index) * (y - 6 - 5 * index) < 40
        pixels +=
          isDisc ? [UInt8(40 * index), UInt8(200 - 30 * index), 240] : [UInt8(250 - 20 * index), 240, UInt8(8 * x)]
      }
    }
    return Picture(width: side, height: side, pixels: pixels)
  }

  /// Left and right exchanged, pixel by pixel.
  private static func mirrored(_ picture: Picture) -> Picture {
    var pixels: [UInt8] = []
    for y in 0..<picture.height {
      for x in (0..<picture.width).reversed() {
        let start = (y * picture.width + x) * 3
        pixels += picture.pixels[start..<start + 3]
      }
    }
    return Picture(width: picture.width, height: picture.height, pixels: pixels)
  }

  /// What is drawn from, and how to tell what was drawn.
  private struct Fixture {
    let settings: TrainingSettings
    let batches: ConceptBatches
    let prompts: [[Int32]]
    let scale: Float
    /// The latents' distributions of the pictures, then of their mirror images.
    let candidates: [LatentDistribution]

    /// - Parameter views: of each picture; the candidates are theirs in turn.
    init(
      views: [[Picture]] = ConceptBatchesTests.pictures.map { [$0] }, flips: Bool = false, batchSize: Int = 2,
      accumulation: Int = 1, seed: UInt64 = 1, change: (inout TrainingSettings) -> Void = { _ in }
    ) throws {
      try self.init(
        fitted: views.map { $0.map(FittedPicture.init) }, flips: flips, batchSize: batchSize,
        accumulation: accumulation, seed: seed, change: change)
    }

    init(
      fitted views: [[FittedPicture]], flips: Bool = false, batchSize: Int = 2, accumulation: Int = 1, seed: UInt64 = 1,
      change: (inout TrainingSettings) -> Void = { _ in }
    ) throws {
      let backend = try CPUBackend()
      let model = try StableDiffusionModel(DiffusersFolder(DemoModel.model))
      let vae = try model.autoencoder(on: backend)
      var settings = TrainingSettings(
        placeholder: try Placeholder(word, vectors: 1), initializer: "cat", kind: .subject, resolution: 32,
        precision: .float32)
      settings.templates = templates
      settings.batchSize = batchSize
      settings.accumulation = accumulation
      settings.flips = flips
      settings.seed = seed
      change(&settings)
      let tokenizer = try model.tokenizer().adding(word, vectors: 1)
      let length = model.shape.positions
      prompts = templates.map {
        tokenizer.encode($0.replacingOccurrences(of: "{}", with: word), length: length).ids
      }
      let cache = try #require(
        try LatentCache(
          views, scale: vae.configuration.scalingFactor, withMirrored: flips,
          moments: { try vae.moments(of: $0, on: backend) }))
      batches = ConceptBatches(
        settings: settings, latents: cache, schedule: try model.noiseSchedule(),
        prompts: try TrainingPrompts(
          settings, tokenizers: [tokenizer], warn: { _ in }))
      self.settings = settings
      scale = vae.configuration.scalingFactor
      let pictures = views.flatMap { $0.map(\.picture) }
      candidates = try (pictures + pictures.map(mirrored)).map { picture in
        let pixels = picture.tensor.reshaped([1, picture.height, picture.width, 3])
        return LatentDistribution(
          moments: try backend.download(vae.encode(backend.upload(pixels, as: .float32))))
      }
    }

    /// The pictures that a batch shows: the one distribution that each sample can come from. Mirror images count on from the
    /// pictures.
    func shown(in batch: Batch) throws -> [Int] {
      let size = batch.latents.shape.count / batch.latents.shape[0]
      return try (0..<batch.latents.shape[0]).map { sample in
        let latents = batch.latents.values[sample * size..<(sample + 1) * size]
        let fitting = candidates.indices.filter { index in
          let candidate = candidates[index]
          return candidate.mean.values.count == size
            && candidate.mean.shape.dimensions.dropFirst() == batch.latents.shape.dimensions.dropFirst()
            && zip(latents, zip(candidate.mean.values, candidate.deviation.values)).allSatisfy {
              abs($0 / scale - $1.0) <= 6 * $1.1 + 1e-5
            }
        }
        try #require(fitting.count == 1, "a sample fits the pictures \(fitting)")
        return fitting[0]
      }
    }

    /// The first batches of the run, micro-batches and all.
    func first(_ count: Int) throws -> [Batch] {
      try (0..<count).map {
        try batches.batch(step: $0 / settings.accumulation, microBatch: $0 % settings.accumulation)
      }
    }
  }

  @Test(arguments: [(2, 1), (1, 1), (3, 2), (7, 1)]) func everyPictureComesOnceARound(batchSize: Int, accumulation: Int)
    throws
  {
    let fixture = try Fixture(batchSize: batchSize, accumulation: accumulation)
    let rounds = 4
    let draws = rounds * Self.pictureCount
    let batches = try fixture.first((draws + batchSize - 1) / batchSize + accumulation)
    let shown = try batches.flatMap { try fixture.shown(in: $0) }
    let orders = (0..<rounds).map { Array(shown[$0 * Self.pictureCount..<($0 + 1) * Self.pictureCount]) }
    for order in orders { #expect(order.sorted() == Array(0..<Self.pictureCount)) }
    #expect(Set(orders).count > 1, "every round has the order \(orders[0])")
  }

  @Test func anotherSeedDrawsOtherwise() throws {
    let (a, b) = (try Fixture(seed: 1), try Fixture(seed: 2))
    let (first, second) = (try a.first(10), try b.first(10))
    #expect(try first.flatMap { try a.shown(in: $0) } != second.flatMap { try b.shown(in: $0) })
    #expect(first.map(\.timesteps) != second.map(\.timesteps))
    #expect(first.map(\.tokens) != second.map(\.tokens))
    #expect(first[0].noise != second[0].noise)
  }

  /// Half of 200 samples are mirrored, within four standard deviations; each picture is seen both ways, and both ways in one batch.
  @Test func flipsMirrorHalfThePictures() throws {
    let fixture = try Fixture(flips: true)
    let shown = try fixture.first(100).map { try fixture.shown(in: $0) }
    let all = shown.flatMap { $0 }
    let mirrored = all.filter { $0 >= Self.pictureCount }.count
    #expect(abs(Double(mirrored) - 100) <= 4 * 50.0.squareRoot())
    #expect(Set(all) == Set(0..<2 * Self.pictureCount))
    #expect(shown.contains { Set($0.map { $0 >= Self.pictureCount }).count == 2 })
  }

  /// Pictures of two sizes: a batch has those of one, as the VAE sees them, and says how each was cut.
  @Test func batchesHavePicturesOfOneSize() throws {
    let wide = Self.pictures.map { $0.resized(width: 48, height: 16) }
    let fixture = try Fixture(views: (Self.pictures[..<2] + wide[2...]).map { [$0] }, batchSize: 3)
    let batches = try fixture.first(20)
    #expect(Set(batches.map { $0.latents.shape.dimensions }) == [[3, 8, 8, 4], [3, 4, 12, 4]])
    var seen = Array(repeating: 0, count: 5)
    for batch in batches {
      for picture in try fixture.shown(in: batch) { seen[picture] += 1 }
      #expect(batch.noise.shape == batch.latents.shape)
      let shape = batch.latents.shape
      #expect(batch.cuts.allSatisfy { $0 == PictureCut(height: 4 * shape[1], width: 4 * shape[2]) })
    }
    #expect(seen == [12, 12, 12, 12, 12])
  }

  /// A picture with several views shows each of them about as often: 100 draws of two, within four standard deviations.
  @Test func viewsAreDrawnAnew() throws {
    let fixture = try Fixture(views: [[Self.pictures[0], Self.pictures[1]], [Self.pictures[2]]])
    let shown = try fixture.first(100).map { try fixture.shown(in: $0) }
    #expect(shown.allSatisfy { $0.contains(2) })
    let first = shown.count { $0.contains(0) }
    #expect(abs(Double(first) - 50) <= 4 * 5, "\(first)")
    #expect(shown.count { $0.contains(1) } == 100 - first)
  }

  /// What each latent counts goes with the picture, and into the mirror with it; one without a mask counts in full.
  @Test func weightsGoWithTheirPictures() throws {
    let levels = (0..<64 * 64).map { (place: Int) -> UInt8 in
      let (x, y) = (place % 64 / 8, place / 64 / 8)
      return UInt8(4 * x + y)
    }
    let mask = try Mask(width: 64, height: 64, levels: levels)
    let masked = FittedPicture.fitted(
      Self.pictures[0], to: PictureSize(width: 32, height: 32), .crop, mask: mask, cell: 4)
    let fixture = try Fixture(fitted: [masked, [FittedPicture(Self.pictures[1])]], flips: true)
    // A latent of 4 x 4 pixels of 32 is 8 x 8 of the mask's.
    var (plain, mirrored): ([Float], [Float]) = ([], [])
    for y in 0..<8 {
      for x in 0..<8 {
        plain.append(Float(4 * x + y) / 255)
        mirrored.append(Float(4 * (7 - x) + y) / 255)
      }
    }
    let full = [Float](repeating: 1, count: 64)
    var seen: Set<Int> = []
    for batch in try fixture.first(20) {
      let weights = try #require(batch.weights)
      #expect(weights.shape == [2, 8, 8, 1])
      for (sample, picture) in try fixture.shown(in: batch).enumerated() {
        let expected = [plain, full, mirrored, full][picture]
        let actual: [Float] = Array(weights.values[sample * 64..<(sample + 1) * 64])
        for place in 0..<64 { #expect(abs(actual[place] - expected[place]) <= 1e-7) }
        seen.insert(picture)
      }
    }
    #expect(seen.count == 4)
    #expect(try Fixture().first(1)[0].weights == nil)
  }

  @Test func withoutFlipsNothingIsMirrored() throws {
    let fixture = try Fixture()
    #expect(try fixture.first(20).flatMap { try fixture.shown(in: $0) }.allSatisfy { $0 < Self.pictureCount })
  }

  /// The deviations of a picture's latents from their mean, in standard deviations, are normal and new each time.
  @Test func latentsAreDrawnAnew() throws {
    let fixture = try Fixture()
    var drawn: [Double] = []
    var seen: [Int: [Float]] = [:]
    for batch in try fixture.first(50) {
      let size = batch.latents.shape.count / 2
      for (sample, picture) in try fixture.shown(in: batch).enumerated() {
        let latents = Array(batch.latents.values[sample * size..<(sample + 1) * size])
        #expect(seen.updateValue(latents, forKey: picture) != latents)
        let candidate = fixture.candidates[picture]
        for index in 0..<size where candidate.deviation.values[index] > 1e-3 {
          drawn.append(
            Double((latents[index] / fixture.scale - candidate.mean.values[index]) / candidate.deviation.values[index]))
        }
      }
    }
    expectNormal(drawn)
  }

  @Test func promptsVary() throws {
    let fixture = try Fixture()
    var batches: [[[Int32]]] = []
    for batch in try fixture.first(40) {
      let tokens = try #require(batch.tokens.first)
      let length = tokens.length
      batches.append((0..<2).map { Array(tokens.ids[$0 * length..<($0 + 1) * length]) })
    }
    #expect(batches.joined().allSatisfy(fixture.prompts.contains))
    for prompt in fixture.prompts { #expect(batches.joined().contains(prompt)) }
    #expect(batches.contains { $0[0] != $0[1] }, "both samples of every batch have one prompt")
  }

  /// Uniform over the schedule's thousand: 800 draws, their mean and deviation within four standard errors.
  @Test func timestepsAreUniform() throws {
    let fixture = try Fixture(batchSize: 8)
    let batches = try fixture.first(100).map(\.timesteps)
    for batch in batches { #expect(Set(batch).count > 1, "all of a batch have the timestep \(batch[0])") }
    let all = batches.flatMap { $0 }.map(Double.init)
    #expect(all.allSatisfy { (0..<1000).contains($0) })
    let mean = all.reduce(0, +) / 800
    let deviation = 1000 / 12.0.squareRoot()
    #expect(abs(mean - 499.5) <= 4 * deviation / 800.0.squareRoot())
    let variance = all.reduce(0) { $0 + ($1 - 499.5) * ($1 - 499.5) } / 800
    // A uniform distribution's fourth moment is 9/5 of its variance squared.
    #expect(abs(variance / (deviation * deviation) - 1) <= 4 * (0.8 / 800).squareRoot())
  }

  /// Every timestep of a range comes, and none beside it.
  @Test func timestepsStayInTheirRange() throws {
    let fixture = try Fixture(batchSize: 8) { $0.loss.timesteps = 500..<510 }
    #expect(Set(try fixture.first(40).flatMap(\.timesteps)) == Set(500..<510))
  }

  /// Shifted noise is the plain noise and, for each channel of a sample, one number, normal over samples.
  @Test func offsetsAreOfChannels() throws {
    let plain = try Fixture().first(60)
    let shifted = try Fixture { $0.loss.noiseOffset = 0.5 }.first(60)
    var shifts: [Double] = []
    for (plain, shifted) in zip(plain, shifted) {
      #expect(plain.timesteps == shifted.timesteps && plain.latents == shifted.latents)
      let size = plain.noise.shape.count / 2
      let channels = plain.noise.shape.channels
      for sample in 0..<2 {
        for channel in 0..<channels {
          let differences = stride(from: sample * size + channel, to: (sample + 1) * size, by: channels).map {
            shifted.noise.values[$0] - plain.noise.values[$0]
          }
          #expect(differences.allSatisfy { abs($0 - differences[0]) < 1e-5 })
          shifts.append(Double(differences[0]) / 0.5)
        }
      }
    }
    #expect(Set(shifts).count == shifts.count)
    expectNormal(shifts)
  }

  @Test func noiseIsNormalAndNew() throws {
    let fixture = try Fixture()
    let batches = try fixture.first(20)
    expectNormal(batches.flatMap { $0.noise.values.map(Double.init) })
    let samples = batches.flatMap { batch in
      let size = batch.noise.shape.count / 2
      return [Array(batch.noise.values[..<size]), Array(batch.noise.values[size...])]
    }
    #expect(Set(samples).count == samples.count)
    for batch in batches { #expect(batch.noise.shape == batch.latents.shape) }
  }

  /// The micro-batches of a step are not one batch twice.
  @Test func microBatchesDiffer() throws {
    let fixture = try Fixture(accumulation: 2)
    let batches = try fixture.first(8)
    #expect(Set(batches.map(\.timesteps)).count == 8)
    #expect(Set(batches.map(\.noise.values)).count == 8)
  }

  /// Mean 0, variance 1, both within four standard errors, and a fourth moment of 3.
  private func expectNormal(_ draws: [Double], sourceLocation: SourceLocation = #_sourceLocation) {
    let count = Double(draws.count)
    func moment(_ power: Int) -> Double { draws.reduce(0) { $0 + pow($1, Double(power)) } / count }
    #expect(abs(moment(1)) <= 4 / count.squareRoot(), sourceLocation: sourceLocation)
    #expect(abs(moment(2) - 1) <= 4 * (2 / count).squareRoot(), sourceLocation: sourceLocation)
    #expect(abs(moment(4) - 3) <= 4 * (96 / count).squareRoot(), sourceLocation: sourceLocation)
  }
}
