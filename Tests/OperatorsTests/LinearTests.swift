import Operators
import Tensors
import TestSupport
import Testing

struct LinearCase: Sendable, CustomTestStringConvertible {
  var x: Shape
  var outputs: Int
  var bias = true
  var residual = false
  var activation: Activation?

  var testDescription: String {
    "\(x) to \(outputs)\(bias ? " bias" : "")\(residual ? " residual" : "")\(activation.map { " \($0)" } ?? "")"
  }

  /// Every case in every type; but an activation's code does not depend on the type, and each is a kernel of its own to build:
  /// all are tried in 32 bits, SiLU in the others.
  static let allTypes: [(LinearCase, ElementType)] = all.flatMap { item in
    ElementType.allCases
      .filter { $0 == .float32 || item.activation == nil || item.activation == .silu }
      .map { (item, $0) }
  }

  private static let all: [LinearCase] = [
    // Tiny and odd, one row, one column.
    LinearCase(x: [1, 1], outputs: 1),
    LinearCase(x: [5], outputs: 3),
    LinearCase(x: [1, 7], outputs: 1, bias: false),
    LinearCase(x: [3, 1], outputs: 11, residual: true),
    LinearCase(x: [2, 3, 5], outputs: 7, residual: true),
    // Edges of tiles.
    LinearCase(x: [63, 64], outputs: 65, residual: true),
    LinearCase(x: [64, 65], outputs: 63),
    LinearCase(x: [65, 63], outputs: 64, bias: false, residual: true),
    LinearCase(x: [127, 129], outputs: 131),
    LinearCase(x: [129, 32], outputs: 128, residual: true),
    LinearCase(x: [128, 128], outputs: 64),
    LinearCase(x: [2, 61, 97], outputs: 101, residual: true),
    // Stable Diffusion's: the timestep's layers, the text encoder's, a cross-attention's keys, a feed-forward layer.
    LinearCase(x: [1, 320], outputs: 1280, activation: .silu),
    LinearCase(x: [1, 1280], outputs: 1280),
    LinearCase(x: [1, 77, 768], outputs: 64),
    LinearCase(x: [2, 77, 128], outputs: 96, residual: true),
    LinearCase(x: [1, 16, 1280], outputs: 320, residual: true),
    LinearCase(x: [1, 64, 320], outputs: 320, bias: false),
    // Activations, with all that may follow.
    LinearCase(x: [17, 33], outputs: 19, activation: .silu),
    LinearCase(x: [17, 33], outputs: 19, residual: true, activation: .gelu),
    LinearCase(x: [66, 40], outputs: 70, activation: .geluTanh),
    LinearCase(x: [66, 40], outputs: 70, bias: false, residual: true, activation: .quickGELU),
  ]
}

/// Linear layers against the plain loop.
@Suite struct LinearTests {
  @Test(arguments: LinearCase.allTypes)
  func equalsThePlainLoop(_ item: LinearCase, _ type: ElementType) throws {
    var random = RandomTensors(seed: 1)
    let op = Linear(inputs: item.x.channels, outputs: item.outputs, activation: item.activation)
    let output = item.x.withChannels(item.outputs)
    let x = random.normal(item.x, as: type)
    let weight = random.normal(
      [op.outputs, op.inputs], as: type, deviation: 1 / Float(op.inputs).squareRoot())
    // A bias may be kept in 32 bits or in the precision: numbers that are the same in both decide nothing.
    let bias = item.bias ? random.normal([op.outputs], as: type) : nil
    let residual = item.residual ? random.normal(output, as: type) : nil
    let dy = random.normal(output, as: type)
    let backResidual = item.residual ? random.normal(item.x, as: type) : nil

    let y = Reference.forward(
      op, ReferenceTensor(x), weight: ReferenceTensor(weight), bias: bias.map { ReferenceTensor($0) },
      residual: residual.map { ReferenceTensor($0) })
    let dx = Reference.backwardInput(
      op, ReferenceTensor(dy), weight: ReferenceTensor(weight), residual: backResidual.map { ReferenceTensor($0) })

    func check<B: Backend>(_ backend: B) throws {
      let weights = try backend.pack(
        op, weight: weight, bias: bias, for: item.activation == nil ? .both : .forward)
      let forward = try results(backend, "y", poison: [(output, type), (item.x, type)]) {
        [
          try backend.forward(
            op, backend.upload(x, as: type), weights: weights,
            residual: residual.map { try backend.upload($0, as: type) })
        ]
      }
      // The product may be stored before an activation or a residual joins it.
      expectClose(
        forward[0], y, Tolerance(type, terms: op.inputs, roundings: item.residual || item.activation != nil ? 2 : 1),
        "y on \(backend.name)")

      guard item.activation == nil else {
        expectRefusal(.unsupported, "a backward pass through a fused activation") {
          _ = try backend.backwardInput(op, backend.upload(dy, as: type), weights: weights, residual: nil)
        }
        return
      }
      let backward = try results(backend, "dx", poison: [(output, type), (item.x, type)]) {
        [
          try backend.backwardInput(
            op, backend.upload(dy, as: type), weights: weights,
            residual: backResidual.map { try backend.upload($0, as: type) })
        ]
      }
      expectClose(
        backward[0], dx, Tolerance(type, terms: op.outputs, roundings: item.residual ? 2 : 1), "dx on \(backend.name)")
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  @Test(arguments: TestBackends.all)
  func refusesWhatDoesNotFit(_ backend: TestBackend) throws {
    func check<B: Backend>(_ backend: B) throws {
      let op = Linear(inputs: 4, outputs: 3)
      let weight = HostTensor(repeating: 1, [3, 4])
      let weights = try backend.pack(op, weight: weight, bias: nil, for: .forward)
      let narrow = try backend.upload(HostTensor(repeating: 1, [2, 3]), as: backend.precision)
      expectRefusal(.invalidShape, "an input of other channels") {
        _ = try backend.forward(op, narrow, weights: weights, residual: nil)
      }
      expectRefusal(.unsupported, "a backward pass that nothing was packed for") {
        _ = try backend.backwardInput(op, narrow, weights: weights, residual: nil)
      }
    }
    try backend.run { try check($0) }
  }

  /// A broken number in a row makes that row's results broken, and no other's: an overflow must reach the loss scale's check.
  @Test(arguments: TestBackends.all, [Float.nan, .infinity])
  func brokenNumbersStayVisible(_ backend: TestBackend, _ broken: Float) throws {
    var random = RandomTensors(seed: 2)
    let op = Linear(inputs: 70, outputs: 66)
    let type = backend.precision
    var x = random.normal([67, 70], as: type)
    x.values[33 * 70 + 41] = broken
    var dy = random.normal([67, 66], as: type)
    dy.values[5 * 66 + 65] = broken
    let weight = random.normal([66, 70], as: type)
    let y = Reference.forward(op, ReferenceTensor(x), weight: ReferenceTensor(weight))
    let dx = Reference.backwardInput(op, ReferenceTensor(dy), weight: ReferenceTensor(weight))
    func check<B: Backend>(_ backend: B) throws {
      let weights = try backend.pack(op, weight: weight, bias: nil, for: .both)
      expectClose(
        try backend.download(backend.forward(op, backend.upload(x, as: type), weights: weights, residual: nil)), y,
        Tolerance(type, terms: 70), "y")
      expectClose(
        try backend.download(backend.backwardInput(op, backend.upload(dy, as: type), weights: weights, residual: nil)),
        dx,
        Tolerance(type, terms: 66), "dx")
    }
    try backend.run { try check($0) }
  }

  /// What is too large for a half is infinite, not the largest half: so a gradient that overflows is seen.
  @Test(arguments: TestBackends.all(.float16))
  func overflowOfHalvesIsInfinite(_ backend: TestBackend) throws {
    let op = Linear(inputs: 2, outputs: 2)
    func check<B: Backend>(_ backend: B) throws {
      let weights = try backend.pack(
        op, weight: HostTensor([2, 2], [300, 0, 0, 1]), bias: nil, for: .both)
      let x = try backend.upload(HostTensor([1, 2], [300, 300]), as: .float16)
      #expect(try backend.download(backend.forward(op, x, weights: weights, residual: nil)).values == [.infinity, 300])
      #expect(
        try backend.download(backend.backwardInput(op, x, weights: weights, residual: nil)).values == [.infinity, 300])
    }
    try backend.run { try check($0) }
  }
}
