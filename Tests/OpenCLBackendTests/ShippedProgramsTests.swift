import Foundation
import ModelFiles
import Operators
import StableDiffusion
import TestSupport
import Tensors
import Testing
import TextualInversion

@testable import OpenCLBackend

/// The kernels that go to GPUs which tests never see.
@Suite struct ShippedProgramsTests {
  /// `Tools/gpu-check` compiles the programs of its table for real chips: the table must hold what training and drawing ask a
  /// GPU for, of few compute units or of many, and nothing else.
  @Test func gpuCheckCompilesWhatIsBuilt() throws {
    var asked: Set<String> = []
    // A model of somebody's own: channels that are no multiple of eight, the third kind of GELU.
    let tiny = try StableDiffusionModel(DiffusersFolder(Fixtures.url("models/tiny-odd"))).shape
    var textEncoder = tiny.textEncoder
    textEncoder.activation = .geluTanh
    let odd = ModelShape(
      name: "odd", textEncoder: textEncoder, unet: tiny.unet, autoencoder: tiny.autoencoder, resolution: 96)
    for model in [ModelShape.sd15, .sd21, shallowXL, odd] {
      for (vendor, computeUnits) in [("Intel(R) Corporation", 1), (amd, 40), (nvidia, 400)] {
        asked.formUnion(try programs(of: model, dryBackend(computeUnits: computeUnits, vendor: vendor)))
      }
    }
    try expectTable("programs.txt", asked.sorted())
  }

  /// `Tools/gpu-check` models a step of Stable Diffusion 1.5 at 512 pixels from its launches: a line for each kind of launch,
  /// with how often it comes, for each of two cards as its own driver describes it.
  @Test func gpuCheckModelsTheStepThatRuns() throws {
    var lines: [String] = []
    for (name, vendor, computeUnits) in [("RX 6700 XT", amd, 20), ("RTX 3060", nvidia, 28)] {
      let backend = try dryBackend(computeUnits: computeUnits, vendor: vendor)
      let lesson = try Lesson(.sd15, backend)
      let before = backend.programs.askedLaunches.count
      _ = try lesson.trainer.step([lesson.batch], learningRate: 1)
      let launches = Dictionary(grouping: backend.programs.askedLaunches.dropFirst(before)) { $0 }
      lines.append("# \(name)")
      lines += launches.map { "\($1.count) \($0)" }.sorted()
    }
    try expectTable("step.txt", lines)
  }

  private let amd = "Advanced Micro Devices, Inc."
  private let nvidia = "NVIDIA Corporation"

  /// Holds a table of `Tools/gpu-check` to `lines`; with TI_GPU_WRITE_TABLES=1 in the environment writes it.
  private func expectTable(_ name: String, _ lines: [String]) throws {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let file = package.appendingPathComponent("Tools/gpu-check/\(name)")
    if ProcessInfo.processInfo.environment["TI_GPU_WRITE_TABLES"] == "1" {
      return try Data(lines.map { $0 + "\n" }.joined().utf8).write(to: file)
    }
    let table = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
    for line in Set(lines).subtracting(table).sorted() { Issue.record("\(name) lacks: \(line)") }
    for line in Set(table).subtracting(lines).sorted() { Issue.record("\(name) has what no run asks for: \(line)") }
  }

  /// Stable Diffusion XL with each kind of block once: the programs are the same.
  private var shallowXL: ModelShape {
    let xl = ModelShape.sdxl
    func shallow(_ configuration: CLIPTextConfiguration) -> CLIPTextConfiguration {
      var configuration = configuration
      configuration.layers = 2
      return configuration
    }
    var unet = xl.unet
    for level in unet.levels.indices {
      unet.levels[level].transformersDown = unet.levels[level].transformersDown.map { min(1, $0) }
      unet.levels[level].transformersUp = unet.levels[level].transformersUp.map { min(1, $0) }
    }
    unet.middleTransformers = 1
    return ModelShape(
      name: xl.name, textEncoder: shallow(xl.textEncoders[0]), textEncoder2: shallow(xl.textEncoders[1]), unet: unet,
      autoencoder: xl.autoencoder, resolution: xl.resolution)
  }

  /// The tensors of known models, by name and shape, against diffusers' and transformers' (Tools/reference/shapes.py).
  @Test(arguments: [ModelShape.sd15, .sd21, .sdxl])
  func knownShapesTakeTheTensorsOfDiffusers(model: ModelShape) throws {
    struct Part: Decodable, Equatable { let count: Int, sha256: String }
    struct File: Decodable { let shapes: [String: [String: Part]] }
    let file = try JSONDecoder().decode(File.self, from: Data(contentsOf: Fixtures.url("tensors.json")))
    let expected = try #require(file.shapes[model.name])
    let backend = try dryBackend(computeUnits: 40, vendor: amd)
    func part(_ load: (Zeros) throws -> Void) throws -> Part {
      let weights = Zeros()
      try load(weights)
      let text = weights.taken.sorted().map { $0 + "\n" }.joined()
      return Part(count: weights.taken.count, sha256: FileHash.sha256(Data(text.utf8)))
    }
    #expect(try part { _ = try UNet(backend, model.unet, weights: $0) } == expected["unet"])
    #expect(try part { _ = try AutoencoderKL(backend, model.autoencoder, weights: $0) } == expected["vae"])
    for (component, (configuration, reading)) in zip(
      [Component.textEncoder, .textEncoder2], zip(model.textEncoders, model.textReadings()))
    where reading != TextReading(.penultimate) {  // which leaves its last layer
      let found = try part {
        _ = try TextEncoder(backend, configuration, weights: $0, reading: reading, differentiable: false)
      }
      #expect(found == expected[component.rawValue], "\(component)")
    }
  }

  private func dryBackend(computeUnits: Int, vendor: String) throws -> OpenCLBackend {
    var options = OpenCLBackend.Options()
    options.isDryRun = true
    return try OpenCLBackend(
      device: TestBackends.openCLDevice().with(computeUnits: computeUnits, vendor: vendor), precision: .float16,
      kernelForm: .gpu,
      options: options)
  }

  /// What a training step, a picture's latents and a drawn picture ask for.
  private func programs(of model: ModelShape, _ backend: OpenCLBackend) throws -> Set<String> {
    let vae = try AutoencoderKL(backend, model.autoencoder, weights: Zeros())
    func tensor(_ shape: Shape) throws -> Tensor<OpenCLBuffer> {
      try backend.upload(HostTensor(repeating: 0, shape), as: .float16)
    }
    func tensor32(_ shape: Shape) throws -> Tensor<OpenCLBuffer> {
      try backend.upload(HostTensor(repeating: 0, shape), as: .float32)
    }
    _ = try vae.encode(tensor([1, model.resolution, model.resolution, 3]))
    let side = model.resolution / model.autoencoder.sizeMultiple
    let latents: Shape = [1, side, side, 4]
    _ = try vae.decode(tensor(latents))

    let lesson = try Lesson(model, backend)
    _ = try lesson.trainer.step([lesson.batch, lesson.batch], learningRate: 1)
    let (target, weights) = try (tensor32(latents), tensor32([1, side, side, 1]))
    for huber in [nil, [1]] as [[Float]?] {
      for weights in [nil, weights] {
        _ = try backend.forward(
          PredictionLoss(huber: huber), prediction: tensor(latents), target: target, weights: weights)
      }
    }

    var rows: [Component: Tensor<OpenCLBuffer>] = [:]
    for (name, table) in lesson.parameters { rows[name.encoder] = try backend.upload(table, as: .float32) }
    var conditioning = try lesson.textEncoders.forward(lesson.prompts(2), rows: rows, keeping: .nothing).conditioning
    conditioning.sizes = Array(repeating: PictureCut(height: 64, width: 64).numbers, count: 2)
    let prediction = try lesson.unet.forward(
      tensor([2, side, side, 4]), timesteps: [1, 1], conditioning: conditioning, keeping: .nothing
    ).prediction
    _ = try backend.download(prediction)
    return backend.programs.asked
  }

  /// What it takes to train one word on a model of zeros.
  private struct Lesson {
    let model: ModelShape
    let textEncoders: TextEncoders<OpenCLBackend>
    let unet: UNet<OpenCLBackend>
    let parameters: Parameters
    let trainer: Trainer<OpenCLBackend>

    init(_ model: ModelShape, _ backend: OpenCLBackend) throws {
      self.model = model
      let encoders = try zip(model.textEncoders, model.textReadings()).map { configuration, reading in
        try TextEncoder(backend, configuration, weights: Zeros(), reading: reading, differentiable: true)
      }
      textEncoders = TextEncoders(backend, encoders[0], encoders.dropFirst().first)
      unet = try UNet(backend, model.unet, weights: Zeros(), gradients: textEncoders.gradientNames)
      let name = try Placeholder("<word>", vectors: 1)
      var parameters: Parameters = [:]
      for (component, configuration) in model.textComponents {
        parameters[ParameterName(component, name.word)] = HostTensor(repeating: 0, [1, configuration.width])
      }
      self.parameters = parameters
      trainer = try Trainer(
        backend: backend, textEncoders: textEncoders, unet: unet, schedule: NoiseSchedule(model.scheduler),
        layout: RowLayout(words: [name], encoders: model.textComponents.map(\.component)), optimizer: AdamW(),
        state: TrainingState(parameters: parameters, optimizer: AdamW(), precision: .float16))
    }

    func prompts(_ count: Int) -> [TokenBatch] {
      model.textEncoders.map { configuration in
        let word = Int32(configuration.vocabularySize)
        return TokenBatch(
          ids: (0..<count * 77).map { $0 % 77 == 76 ? Int32(configuration.endOfText) : word }, batch: count, length: 77)
      }
    }

    var batch: Batch {
      let side = model.resolution / model.autoencoder.sizeMultiple
      let latents = HostTensor(repeating: 0, [1, side, side, 4])
      return Batch(
        latents: latents, noise: latents, timesteps: [1], tokens: prompts(1),
        cuts: [PictureCut(height: 64, width: 64)])
    }
  }

  /// Weights of any name and shape.
  private final class Zeros: WeightSource {
    /// A line for each that was taken, such as `conv_in.bias [320]`.
    private(set) var taken: Set<String> = []

    func take(_ name: String, _ shape: Shape) -> HostTensor {
      taken.insert("\(name) \(shape.dimensions)")
      return HostTensor(repeating: 0, shape)
    }
    func contains(_ name: String) -> Bool { true }
    func finish(passingOver paths: [String]) {}
  }

  /// A group of 256 items and 32 KiB of local memory are what every consumer GPU has, whatever the width of a head.
  @Test func everyHeadFitsEveryGPU() throws {
    let limits = DeviceLimits(try TestBackends.openCLDevice())
    for headDimension in 1...512 {
      let parameters = AttentionGroupParameters(headDimension: headDimension)
      #expect(throws: Never.self, "heads of \(headDimension)") { try parameters.check(limits) }
      #expect(parameters.forward.items <= 256 && parameters.backward.items <= 256)
      #expect(parameters.forward.localMemory(headDimension, partials: 1) <= 32 << 10)
      #expect(parameters.backward.localMemory(min(headDimension, 160), partials: 2) <= 32 << 10)
    }
  }

  /// Tiles that don't come apart into what the items of a group stage are refused before a compiler sees them.
  @Test func tilesThatDoNotFitAreRefused() throws {
    let limits = DeviceLimits(try TestBackends.openCLDevice())
    for tile in [GroupTile.small, .large] { #expect(throws: Never.self) { try tile.check("linear", limits) } }
    let wrong = [
      GroupTile(rows: 64, columns: 64, depth: 16, itemRows: 2, itemColumns: 4),
      GroupTile(rows: 256, columns: 128, depth: 8, itemRows: 8, itemColumns: 8),
      GroupTile(rows: 128, columns: 128, depth: 32, itemRows: 8, itemColumns: 8),
      GroupTile(rows: 64, columns: 64, depth: 4, itemRows: 4, itemColumns: 4),
    ]
    for tile in wrong { #expect(throws: (any Error).self, "\(tile)") { try tile.check("linear", limits) } }
  }
}

extension OpenCLDevice {
  /// The device as if another had made it, with another number of compute units.
  fileprivate func with(computeUnits: Int, vendor: String) throws -> OpenCLDevice {
    var fields = try #require(JSONSerialization.jsonObject(with: JSONEncoder().encode(self)) as? [String: Any])
    fields["compute_units"] = computeUnits
    fields["vendor"] = vendor
    return try JSONDecoder().decode(OpenCLDevice.self, from: JSONSerialization.data(withJSONObject: fields))
  }
}
