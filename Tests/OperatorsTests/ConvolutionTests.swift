import Operators
import Tensors
import TestSupport
import Testing

struct ConvolutionCase: Sendable, CustomTestStringConvertible {
  enum Residual: Sendable { case none, tensor, channels }

  var x: Shape
  var outputs: Int
  var kernel = 3
  var stride = 1
  var padding: Convolution.Padding = .same
  var bias = true
  var residual: Residual = .none

  var op: Convolution {
    Convolution(inputs: x.channels, outputs: outputs, kernel: kernel, stride: stride, padding: padding)
  }

  var testDescription: String {
    "\(x) to \(outputs), \(kernel)x\(kernel) stride \(stride) \(padding)\(bias ? " bias" : "") residual \(residual)"
  }

  static let all: [ConvolutionCase] = [
    // Tiny: one pixel, one row, one column, pictures smaller than the kernel.
    ConvolutionCase(x: [1, 1, 1, 1], outputs: 1),
    ConvolutionCase(x: [2, 2, 1, 3], outputs: 5, bias: false, residual: .channels),
    ConvolutionCase(x: [1, 1, 9, 8], outputs: 8, residual: .tensor),
    ConvolutionCase(x: [1, 9, 1, 8], outputs: 8, residual: .tensor),
    // Odd sides and odd channels, batches.
    ConvolutionCase(x: [2, 5, 7, 3], outputs: 4, residual: .channels),
    ConvolutionCase(x: [3, 7, 5, 17], outputs: 19, residual: .tensor),
    // Edges of tiles, in pixels and in channels.
    ConvolutionCase(x: [1, 9, 7, 63], outputs: 65, residual: .channels),
    ConvolutionCase(x: [1, 8, 8, 64], outputs: 64, residual: .tensor),
    ConvolutionCase(x: [1, 13, 5, 65], outputs: 63, bias: false),
    ConvolutionCase(x: [1, 16, 8, 33], outputs: 31),
    ConvolutionCase(x: [1, 3, 43, 16], outputs: 129),
    ConvolutionCase(x: [2, 11, 11, 32], outputs: 37, residual: .channels),
    // Stride 2, padded alike and behind alone.
    ConvolutionCase(x: [1, 2, 2, 1], outputs: 1, stride: 2),
    ConvolutionCase(x: [1, 1, 6, 5], outputs: 3, stride: 2),
    ConvolutionCase(x: [2, 7, 5, 4], outputs: 8, stride: 2),
    ConvolutionCase(x: [1, 8, 12, 32], outputs: 32, stride: 2, residual: .tensor),
    ConvolutionCase(x: [1, 13, 11, 20], outputs: 65, stride: 2, residual: .channels),
    ConvolutionCase(x: [2, 6, 6, 5], outputs: 3, stride: 2, padding: .trailing),
    ConvolutionCase(x: [1, 7, 9, 16], outputs: 16, stride: 2, padding: .trailing, bias: false),
    ConvolutionCase(x: [1, 16, 12, 32], outputs: 33, stride: 2, padding: .trailing),
    // Channels that the CPU's loops take Winograd's form for.
    ConvolutionCase(x: [1, 9, 11, 160], outputs: 165, residual: .channels),
    ConvolutionCase(x: [2, 4, 1, 161], outputs: 160, bias: false, residual: .tensor),
    // 1x1.
    ConvolutionCase(x: [2, 5, 3, 33], outputs: 17, kernel: 1, residual: .tensor),
    ConvolutionCase(x: [1, 8, 9, 64], outputs: 65, kernel: 1, residual: .channels),
    ConvolutionCase(x: [1, 7, 5, 12], outputs: 10, kernel: 1, stride: 2),
    ConvolutionCase(x: [1, 4, 4, 320], outputs: 640, kernel: 1),
    // Stable Diffusion's: into the UNet and out of it, within it.
    ConvolutionCase(x: [1, 16, 12, 4], outputs: 320),
    ConvolutionCase(x: [1, 6, 10, 320], outputs: 4),
    ConvolutionCase(x: [1, 8, 8, 320], outputs: 64, residual: .channels),
    ConvolutionCase(x: [1, 4, 4, 640], outputs: 64, residual: .tensor),
    ConvolutionCase(x: [1, 24, 24, 3], outputs: 128),
  ]
}

/// Convolutions against the plain loop.
@Suite struct ConvolutionTests {
  @Test(arguments: ConvolutionCase.all, ElementType.allCases)
  func equalsThePlainLoop(_ item: ConvolutionCase, _ type: ElementType) throws {
    var random = RandomTensors(seed: 11)
    let op = item.op
    let output = try op.outputShape(item.x)
    let taps = op.kernel * op.kernel
    let x = random.normal(item.x, as: type)
    let weight = random.normal(
      [op.outputs, op.inputs, op.kernel, op.kernel], as: type, deviation: 1 / Float(op.inputs * taps).squareRoot())
    let bias = item.bias ? random.normal([op.outputs], as: type) : nil
    let dy = random.normal(output, as: type)
    let added = random.normal(item.residual == .channels ? [output[0], op.outputs] : output, as: type)
    let addedBack = item.residual == .tensor ? random.normal(item.x, as: type) : nil

    let residual: Reference.Residual?
    switch item.residual {
    case .none: residual = nil
    case .tensor: residual = .tensor(ReferenceTensor(added))
    case .channels: residual = .channels(ReferenceTensor(added))
    }
    let y = Reference.forward(
      op, ReferenceTensor(x), weight: ReferenceTensor(weight), bias: bias.map { ReferenceTensor($0) },
      residual: residual)
    #expect(y.shape == output, "the rule for the result's shape")
    let dx = Reference.backwardInput(
      op, ReferenceTensor(dy), inputShape: item.x, weight: ReferenceTensor(weight),
      residual: addedBack.map { ReferenceTensor($0) })

    func check<B: Backend>(_ backend: B) throws {
      let weights = try backend.pack(op, weight: weight, bias: bias, for: .both)
      let forward = try results(backend, "y", poison: [(output, type), (item.x, type)]) {
        let residual: Residual<B.Storage>?
        switch item.residual {
        case .none: residual = nil
        case .tensor: residual = .tensor(try backend.upload(added, as: type))
        case .channels: residual = .channels(try backend.upload(added, as: type))
        }
        return [try backend.forward(op, backend.upload(x, as: type), weights: weights, residual: residual)]
      }
      // The product may be stored before an residual joins it.
      expectClose(
        forward[0], y, Tolerance(type, terms: op.inputs * taps, roundings: item.residual == .none ? 1 : 2),
        "y on \(backend.name)")

      let backward = try results(backend, "dx", poison: [(output, type), (item.x, type)]) {
        [
          try backend.backwardInput(
            op, backend.upload(dy, as: type), inputShape: item.x, weights: weights,
            residual: addedBack.map { try backend.upload($0, as: type) })
        ]
      }
      expectClose(
        backward[0], dx, Tolerance(type, terms: op.outputs * taps, roundings: item.residual == .tensor ? 2 : 1),
        "dx on \(backend.name)")
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  @Test(arguments: TestBackends.all)
  func refusesWhatDoesNotFit(_ backend: TestBackend) throws {
    func check<B: Backend>(_ backend: B) throws {
      let op = Convolution(inputs: 4, outputs: 3)
      let weights = try backend.pack(op, weight: HostTensor(repeating: 1, [3, 4, 3, 3]), bias: nil, for: .forward)
      let narrow = try backend.upload(HostTensor(repeating: 1, [1, 5, 5, 3]), as: backend.precision)
      expectRefusal(.invalidShape, "an input of other channels") {
        _ = try backend.forward(op, narrow, weights: weights, residual: nil)
      }
      expectRefusal(.unsupported, "a backward pass that nothing was packed for") {
        _ = try backend.backwardInput(op, narrow, inputShape: [1, 5, 5, 4], weights: weights, residual: nil)
      }
    }
    try backend.run { try check($0) }
  }

  /// A broken pixel breaks the nine results round it and no other.
  @Test(arguments: TestBackends.all, [1, 2])
  func brokenNumbersStayVisible(_ backend: TestBackend, _ stride: Int) throws {
    var random = RandomTensors(seed: 12)
    let op = Convolution(inputs: 20, outputs: 12, stride: stride)
    let type = backend.precision
    let shape: Shape = [1, 9, 10, 20]
    let output = try op.outputShape(shape)
    var x = random.normal(shape, as: type)
    x.values[(4 * 10 + 6) * 20 + 13] = .nan
    x.values[19] = .infinity
    var dy = random.normal(output, as: type)
    dy.values[(2 * output[2] + 3) * 12 + 7] = .nan
    dy.values[output.count - 1] = -.infinity
    let weight = random.normal([12, 20, 3, 3], as: type)
    let y = Reference.forward(op, ReferenceTensor(x), weight: ReferenceTensor(weight))
    let dx = Reference.backwardInput(op, ReferenceTensor(dy), inputShape: shape, weight: ReferenceTensor(weight))
    func check<B: Backend>(_ backend: B) throws {
      let weights = try backend.pack(op, weight: weight, bias: nil, for: .both)
      expectClose(
        try backend.download(backend.forward(op, backend.upload(x, as: type), weights: weights, residual: nil)), y,
        Tolerance(type, terms: 180), "y")
      expectClose(
        try backend.download(
          backend.backwardInput(op, backend.upload(dy, as: type), inputShape: shape, weights: weights, residual: nil)),
        dx,
        Tolerance(type, terms: 108), "dx")
    }
    try backend.run { try check($0) }
  }
}
