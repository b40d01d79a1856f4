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
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let file = package.appendingPathComponent("Tools/gpu-check/programs.txt")
    let table = Set(try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init))
    var asked: Set<String> = []
    // A model of somebody's own: channels that are no multiple of eight, the third kind of GELU.
    let tiny = try StableDiffusionModel(DiffusersFolder(Fixtures.url("models/tiny-odd"))).shape
    var textEncoder = tiny.textEncoder
    textEncoder.activation = .geluTanh
    let odd = ModelShape(
      name: "odd", textEncoder: textEncoder, unet: tiny.unet, autoencoder: tiny.autoencoder, resolution: 96)
    for model in [ModelShape.sd15, .sd21, shallowXL, odd] {
      for computeUnits in [1, 40, 400] { asked.formUnion(try programs(of: model, computeUnits: computeUnits)) }
    }
    for line in asked.subtracting(table).sorted() { Issue.record("programs.txt lacks: \(line)") }
    for line in table.subtracting(asked).sorted() { Issue.record("programs.txt has what nothing builds: \(line)") }
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
    let backend = try dryBackend(computeUnits: 40)
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

  private func dryBackend(computeUnits: Int) throws -> OpenCLBackend {
    var options = OpenCLBackend.Options()
    options.isDryRun = true
    return try OpenCLBackend(
      device: TestBackends.openCLDevice().with(computeUnits: computeUnits), precision: .float16, kernelForm: .gpu,
      options: options)
  }

  /// What a training step, a picture's latents and a drawn picture ask for, on a GPU of so many compute units.
  private func programs(of model: ModelShape, computeUnits: Int) throws -> Set<String> {
    let backend = try dryBackend(computeUnits: computeUnits)
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

    let encoders = try zip(model.textEncoders, model.textReadings()).map { configuration, reading in
      try TextEncoder(backend, configuration, weights: Zeros(), reading: reading, differentiable: true)
    }
    let textEncoders = TextEncoders(backend, encoders[0], encoders.dropFirst().first)
    let unet = try UNet(backend, model.unet, weights: Zeros(), gradients: textEncoders.gradientNames)
    let components = model.textComponents.map(\.component)
    let name = try Placeholder("<word>", vectors: 1)
    var parameters: Parameters = [:]
    for (component, configuration) in model.textComponents {
      parameters[ParameterName(component, name.word)] = HostTensor(repeating: 0, [1, configuration.width])
    }
    func prompts(_ count: Int) -> [TokenBatch] {
      model.textEncoders.map { configuration in
        let word = Int32(configuration.vocabularySize)
        return TokenBatch(
          ids: (0..<count * 77).map { $0 % 77 == 76 ? Int32(configuration.endOfText) : word }, batch: count, length: 77)
      }
    }
    let trainer = try Trainer(
      backend: backend, textEncoders: textEncoders, unet: unet, schedule: NoiseSchedule(model.scheduler),
      layout: RowLayout(words: [name], encoders: components), optimizer: AdamW(),
      state: TrainingState(parameters: parameters, optimizer: AdamW(), precision: .float16))
    let batch = Batch(
      latents: HostTensor(repeating: 0, latents), noise: HostTensor(repeating: 0, latents), timesteps: [1],
      tokens: prompts(1), cuts: [PictureCut(height: 64, width: 64)])
    _ = try trainer.step([batch, batch], learningRate: 1)
    let (target, weights) = try (backend.upload(batch.noise, as: .float32), tensor32([1, side, side, 1]))
    for huber in [nil, [1]] as [[Float]?] {
      for weights in [nil, weights] {
        _ = try backend.forward(
          PredictionLoss(huber: huber), prediction: tensor(latents), target: target, weights: weights)
      }
    }

    var rows: [Component: Tensor<OpenCLBuffer>] = [:]
    for (name, table) in parameters { rows[name.encoder] = try backend.upload(table, as: .float32) }
    var conditioning = try textEncoders.predict(prompts(2), rows: rows)
    conditioning.sizes = Array(repeating: PictureCut(height: 64, width: 64).numbers, count: 2)
    let prediction = try unet.predict(tensor([2, side, side, 4]), timesteps: [1, 1], conditioning: conditioning)
    _ = try backend.download(prediction)
    return backend.programs.asked
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
  /// The device as if it had another number of compute units.
  fileprivate func with(computeUnits: Int) throws -> OpenCLDevice {
    var fields = try #require(JSONSerialization.jsonObject(with: JSONEncoder().encode(self)) as? [String: Any])
    fields["compute_units"] = computeUnits
    return try JSONDecoder().decode(OpenCLDevice.self, from: JSONSerialization.data(withJSONObject: fields))
  }
}
