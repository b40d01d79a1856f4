import Operators
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

/// What is not kept is made again, bit for bit.
@Suite struct KeepingTests {
  @Test(arguments: [ModelFixture.all[0], ModelFixture.xl[0]], TestBackends.all)
  func gradientsAreTheSameWhateverIsKept(fixture: ModelFixture, on backend: TestBackend) throws {
    try backend.run { try check(fixture, on: $0) }
  }

  private func check<B: Backend>(_ fixture: ModelFixture, on backend: B) throws {
    let file = try fixture.outputs()
    let unet = try fixture.unet(backend)
    let sample = try backend.upload(file.channelsLast("unet.sample"), as: backend.precision)
    let timesteps = try file.integers("unet.timesteps").values.map(Float.init)
    var conditioning = Conditioning(
      context: try backend.upload(file.tensor("unet.context"), as: backend.precision))
    if file.names.contains("unet.pooled") {
      let sizes = try file.tensor("unet.sizes")
      conditioning.pooled = try backend.upload(file.tensor("unet.pooled"), as: backend.precision)
      conditioning.sizes = (0..<sizes.shape[0]).map { Array(sizes.values[6 * $0..<6 * $0 + 6]) }
    }
    let dPrediction = try backend.upload(file.channelsLast("unet.output_gradient"), as: backend.precision)
    func pass(_ keeping: UNetKeeping) throws -> (kept: Int, results: [HostTensor]) {
      let before = backend.memory.currentBytes
      let (prediction, saved) = try unet.forward(
        sample, timesteps: timesteps, conditioning: conditioning, keeping: keeping)
      let kept = backend.memory.currentBytes - before
      let gradient = try unet.backward(dPrediction, consume saved)
      let results = [prediction, gradient.context] + (gradient.pooled.map { [$0] } ?? [])
      return (kept, try results.map(backend.download))
    }
    let all = try pass(.all)
    let savings = unet.configuration.savings
    var last = all.kept
    for kind in UNetKeeping.Saving.Kind.allCases {
      let part = try pass(UNetKeeping(savings: savings.filter { $0.kind.rawValue <= kind.rawValue }))
      for (a, b) in zip(part.results, all.results) { expectSameBits(a, b, "without \(kind) on \(backend.name)") }
      #expect(part.kept < last, "without \(kind) on \(backend.name)")
      last = part.kept
    }
    // Any one of them alone.
    for saving in savings {
      let results = try pass(UNetKeeping(savings: [saving])).results
      for (a, b) in zip(results, all.results) { expectSameBits(a, b, "without \(saving) on \(backend.name)") }
    }
  }

  @Test(arguments: TestBackends.float32)
  func aTextEncodersGradientIsTheSameWhateverIsKept(on backend: TestBackend) throws {
    try backend.run { try checkText(on: $0) }
  }

  private func checkText<B: Backend>(on backend: B) throws {
    let encoder = try ModelFixture.all[0].textEncoder(backend)
    let tokens = TokenBatch(ids: (0..<77).map { Int32($0 % 7) }, batch: 1, length: 77)
    var random = RandomTensors(seed: 5)
    let dContext = try backend.upload(random.normal([1, 77, encoder.configuration.width], as: .float32), as: .float32)
    func pass(_ keeping: Keeping) throws -> (kept: Int, gradient: HostTensor) {
      let before = backend.memory.currentBytes
      let (_, saved) = try encoder.forward(tokens, rows: nil, keeping: keeping)
      let kept = backend.memory.currentBytes - before
      return (kept, try backend.download(encoder.backward(ConditioningGradient(context: dContext), consume saved)))
    }
    let (all, input) = (try pass(.all), try pass(.input))
    expectSameBits(input.gradient, all.gradient, "inputs alone on \(backend.name)")
    #expect(input.kept < all.kept)
  }

  @Test func savingsAreOfEveryStageTheCheapestFirst() {
    let savings = ModelShape.demo.unet.savings
    // Two levels with one transformer on the way down and two on the way up, and the middle's; stages: 3, 2 and 6.
    #expect(savings.count { $0.kind == .perceptron } == 7 && savings.count { $0.kind == .attention } == 7)
    #expect(savings.count { $0.kind == .stage } == 11)
    #expect(savings.map(\.kind.rawValue) == savings.map(\.kind.rawValue).sorted())
    #expect(Set(savings).count == savings.count)
  }
}
