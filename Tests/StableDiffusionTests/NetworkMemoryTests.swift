import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

/// What the networks hold of a backend's memory, by the backend's own count.
@Suite struct NetworkMemoryTests {
  @Test(arguments: TestBackends.float32)
  func aStepGivesBackWhatItTook(on backend: TestBackend) throws {
    try backend.run { try checkStep(on: $0) }
  }

  private func checkStep<B: Backend>(on backend: B) throws {
    let fixture = ModelFixture.all[0]
    let unet = try fixture.unet(backend)
    let encoder = try fixture.textEncoder(backend)
    let configuration = encoder.configuration
    let tokens = TokenBatch(ids: Array(repeating: 5, count: 77), batch: 1, length: 77)
    let sample = try backend.upload(HostTensor(repeating: 0.5, [1, 8, 8, 4]), as: backend.precision)
    let dPrediction = try backend.upload(HostTensor(repeating: 0.5, [1, 8, 8, 4]), as: backend.precision)

    func step() throws -> (kept: Int, gradient: HostTensor) {
      let before = backend.memory.currentBytes
      let (conditioning, textSaved) = try encoder.forward(tokens, rows: nil)
      let (_, saved) = try unet.forward(sample, timesteps: [10], conditioning: conditioning)
      let kept = backend.memory.currentBytes - before
      let dConditioning = try unet.backward(dPrediction, consume saved)
      return (kept, try backend.download(encoder.backward(dConditioning, consume textSaved)))
    }

    let before = backend.memory.currentBytes
    let (kept, gradient) = try step()
    #expect(gradient.shape == [1, 77, configuration.width])
    // At the least the input of each perceptron's activation, which nothing else can stand for.
    #expect(kept > 77 * configuration.hiddenWidth * configuration.layers * backend.precision.size)
    #expect(backend.memory.currentBytes == before)
    // The second step finds everything as the first one found it.
    #expect(try step().gradient == gradient)
    #expect(backend.memory.currentBytes == before)
  }

  @Test(arguments: TestBackends.float32)
  func predictingKeepsNothing(on backend: TestBackend) throws {
    try backend.run { try checkPrediction(on: $0) }
  }

  private func checkPrediction<B: Backend>(on backend: B) throws {
    let unet = try ModelFixture.all[0].unet(backend, gradients: [])
    let sample = try backend.upload(HostTensor(repeating: 0.5, [1, 8, 8, 4]), as: backend.precision)
    let context = try backend.upload(
      HostTensor(repeating: 0.5, [1, 77, unet.configuration.contextWidth]), as: backend.precision)
    let before = backend.memory.currentBytes
    func predict() throws -> HostTensor {
      try backend.download(
        unet.forward(sample, timesteps: [10], conditioning: Conditioning(context: context), keeping: .nothing)
          .prediction)
    }
    let first = try predict()
    #expect(backend.memory.currentBytes == before)
    #expect(try predict() == first)
  }

  /// The CPU's own loops have one copy of the weights for both directions. With oneDNN, which has two, a model that is not to be
  /// differentiated holds no weights for it, and one that is none below its first cross-attention. The OpenCL pool counts whole
  /// buffers, and its GPU form has one copy.
  @Test(arguments: TestBackends.float32.filter { $0.name.hasPrefix("cpu") })
  func weightsArePackedForWhatIsAskedOfThem(on backend: TestBackend) throws {
    try backend.run { try checkPacking(on: $0, hasTwoCopies: backend.name.contains("oneDNN")) }
  }

  private func checkPacking<B: Backend>(on backend: B, hasTwoCopies: Bool) throws {
    func bytes(differentiable: Bool, attendsFrom first: Int) throws -> Int {
      var levels = [4, 4, 4].map { UNetConfiguration.Level(channels: 8 * $0, layers: 1, heads: 4, attends: true) }
      for index in 0..<first { levels[index].transformersDown = [0] }
      let configuration = UNetConfiguration(levels: levels, contextWidth: 32, groups: 4)
      let before = backend.memory.currentBytes
      let unet = try UNet(backend, configuration, weights: RandomWeights(), gradients: differentiable ? [.context] : [])
      return withExtendedLifetime(unet) { backend.memory.currentBytes - before }
    }
    var shares: [Double] = []
    for first in 0...2 {
      let forward = try bytes(differentiable: false, attendsFrom: first)
      let both = try bytes(differentiable: true, attendsFrom: first)
      shares.append(Double(both - forward) / Double(forward))
    }
    guard hasTwoCopies else {
      #expect(shares == [0, 0, 0])
      return
    }
    // The more lies below the first cross-attention, the smaller the backward copies' share.
    #expect(shares[0] < 1 && shares[0] > shares[1] && shares[1] > shares[2], "\(shares)")
  }
}
