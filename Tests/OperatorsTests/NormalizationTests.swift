import Operators
import Tensors
import TestSupport
import Testing

struct GroupNormCase: Sendable, CustomTestStringConvertible {
  var x: Shape
  var groups: Int
  var epsilon: Float = 1e-5
  var activation: Activation?
  /// What is added to the normally distributed input.
  var mean: Float = 0
  var deviation: Float = 1
  var residual = false

  var testDescription: String {
    "\(x) in \(groups) groups\(activation.map { " \($0)" } ?? "")"
      + (mean == 0 ? "" : " round \(mean)") + (residual ? " residual" : "")
  }

  static let all: [GroupNormCase] = [
    // One element a group: the deviation is epsilon's alone.
    GroupNormCase(x: [1, 1, 1, 1], groups: 1),
    GroupNormCase(x: [2, 1, 1, 6], groups: 6, epsilon: 1e-3, activation: .silu),
    // One channel a group, one group, odd everything.
    GroupNormCase(x: [2, 3, 5, 12], groups: 12, residual: true),
    GroupNormCase(x: [3, 5, 3, 7], groups: 1, activation: .silu),
    GroupNormCase(x: [2, 7, 9, 15], groups: 5, activation: .silu, residual: true),
    GroupNormCase(x: [1, 17, 13, 96], groups: 32),
    // Tokens.
    GroupNormCase(x: [2, 77, 64], groups: 32, epsilon: 1e-6),
    // Stable Diffusion's: 10, 20 and 60 channels a group, few pixels and many.
    GroupNormCase(x: [1, 16, 16, 320], groups: 32, activation: .silu, residual: true),
    GroupNormCase(x: [2, 4, 4, 640], groups: 32, epsilon: 1e-6),
    GroupNormCase(x: [1, 3, 5, 1920], groups: 32, activation: .silu),
    GroupNormCase(x: [1, 48, 64, 32], groups: 32, activation: .silu),
    // More elements a group than one round of any work-group.
    GroupNormCase(x: [1, 65, 63, 8], groups: 2),
    // A mean a thousand times the deviation, where a mean of squares less a squared mean is lost.
    GroupNormCase(x: [1, 16, 16, 32], groups: 4, mean: 1000, deviation: 1),
    GroupNormCase(x: [2, 9, 11, 20], groups: 20, activation: .silu, mean: -1000, deviation: 10),
  ]
}

struct LayerNormCase: Sendable, CustomTestStringConvertible {
  var x: Shape
  var epsilon: Float = 1e-5
  var mean: Float = 0
  var deviation: Float = 1
  var residual = false

  var testDescription: String { "\(x)\(mean == 0 ? "" : " round \(mean)")\(residual ? " residual" : "")" }

  static let all: [LayerNormCase] = [
    LayerNormCase(x: [1, 1]),
    LayerNormCase(x: [7]),
    LayerNormCase(x: [3, 2], epsilon: 1e-3),
    LayerNormCase(x: [3, 5], residual: true),
    LayerNormCase(x: [2, 3, 63]),
    LayerNormCase(x: [65, 64], residual: true),
    LayerNormCase(x: [5, 257]),
    LayerNormCase(x: [2, 31, 320], residual: true),
    LayerNormCase(x: [1, 77, 768]),
    LayerNormCase(x: [2, 13, 1280], residual: true),
    LayerNormCase(x: [300, 40]),
    LayerNormCase(x: [9, 320], mean: 1000),
    LayerNormCase(x: [4, 33], mean: -1000, deviation: 10, residual: true),
  ]
}

/// Normalizations against the plain loops.
@Suite struct NormalizationTests {
  /// The mean itself is kept in 32 bits: an error of `2⁻²⁴ |mean|`, seen in units of the deviation.
  private func condition(_ reference: Reference.Normalized) -> Double {
    1 + zip(reference.mean.values, reference.reciprocalDeviation.values).reduce(0) { max($0, abs($1.0) * $1.1) }
  }

  /// Holds `[y, mean, reciprocalDeviation]` against the plain loop's, for sums of `terms` numbers.
  private func expect(
    _ made: [HostTensor], _ reference: Reference.Normalized, _ type: ElementType, terms: Int, deviation: Float,
    on name: String
  ) {
    let condition = condition(reference)
    expectClose(made[0], reference.y, Tolerance(type, terms: terms, condition: condition), "y on \(name)")
    expectClose(
      made[1], reference.mean, Tolerance(.float32, terms: terms, magnitude: Double(deviation)), "mean on \(name)")
    expectClose(
      made[2], reference.reciprocalDeviation, Tolerance(.float32, terms: terms, condition: condition),
      "reciprocal deviation on \(name)")
  }

  @Test(arguments: GroupNormCase.all, ElementType.allCases)
  func groupNormEqualsThePlainLoop(_ item: GroupNormCase, _ type: ElementType) throws {
    var random = RandomTensors(seed: 31)
    let op = GroupNorm(groups: item.groups, epsilon: item.epsilon, activation: item.activation)
    let channels: Shape = [item.x.channels]
    let x = random.normal(item.x, as: type, deviation: item.deviation, mean: item.mean)
    let scale = random.normal(channels, as: .float32)
    let shift = random.normal(channels, as: .float32)
    let dy = random.normal(item.x, as: type)
    let residual = item.residual ? random.normal(item.x, as: type) : nil
    let forward = Reference.forward(
      op, ReferenceTensor(x), scale: ReferenceTensor(scale), shift: ReferenceTensor(shift))
    let backward = Reference.backwardInput(
      op, ReferenceTensor(dy), x: ReferenceTensor(x), scale: ReferenceTensor(scale), shift: ReferenceTensor(shift),
      residual: residual.map { ReferenceTensor($0) })
    let count = item.x.count / item.x[0] / item.groups
    let condition = condition(forward)

    func check<B: Backend>(_ backend: B) throws {
      let x = try backend.upload(x, as: type)
      let (scale, shift) = try (backend.upload(scale, as: .float32), backend.upload(shift, as: .float32))
      let poison: [(Shape, ElementType)] = [(item.x, type), ([item.x[0], item.groups], .float32)]
      let made = try results(backend, "group norm", poison: poison) {
        let made = try backend.forward(op, x, scale: scale, shift: shift)
        return [made.y, made.saved.mean, made.saved.reciprocalDeviation]
      }
      expect(made, forward, type, terms: count, deviation: item.deviation, on: backend.name)

      let saved = try backend.forward(op, x, scale: scale, shift: shift).saved
      let dx = try results(backend, "group norm's gradient", poison: poison) {
        [
          try backend.backwardInput(
            op, backend.upload(dy, as: type), x: x, scale: scale, shift: shift, saved: saved,
            residual: residual.map { try backend.upload($0, as: type) })
        ]
      }
      expectClose(
        dx[0], backward.dx,
        Tolerance(
          type, terms: count, roundings: item.residual ? 2 : 1, condition: condition, magnitude: backward.magnitude),
        "dx on \(backend.name)")
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  @Test(arguments: LayerNormCase.all, ElementType.allCases)
  func layerNormEqualsThePlainLoop(_ item: LayerNormCase, _ type: ElementType) throws {
    var random = RandomTensors(seed: 32)
    let op = LayerNorm(epsilon: item.epsilon)
    let channels: Shape = [item.x.channels]
    let x = random.normal(item.x, as: type, deviation: item.deviation, mean: item.mean)
    let scale = random.normal(channels, as: .float32)
    let shift = random.normal(channels, as: .float32)
    let dy = random.normal(item.x, as: type)
    let residual = item.residual ? random.normal(item.x, as: type) : nil
    let forward = Reference.forward(
      op, ReferenceTensor(x), scale: ReferenceTensor(scale), shift: ReferenceTensor(shift))
    let backward = Reference.backwardInput(
      op, ReferenceTensor(dy), x: ReferenceTensor(x), scale: ReferenceTensor(scale),
      residual: residual.map { ReferenceTensor($0) })
    let count = item.x.channels
    let condition = condition(forward)

    func check<B: Backend>(_ backend: B) throws {
      let x = try backend.upload(x, as: type)
      let (scale, shift) = try (backend.upload(scale, as: .float32), backend.upload(shift, as: .float32))
      let poison: [(Shape, ElementType)] = [(item.x, type), ([item.x.rows], .float32)]
      let made = try results(backend, "layer norm", poison: poison) {
        let made = try backend.forward(op, x, scale: scale, shift: shift)
        return [made.y, made.saved.mean, made.saved.reciprocalDeviation]
      }
      expect(made, forward, type, terms: count, deviation: item.deviation, on: backend.name)

      let saved = try backend.forward(op, x, scale: scale, shift: shift).saved
      let dx = try results(backend, "layer norm's gradient", poison: poison) {
        [
          try backend.backwardInput(
            op, backend.upload(dy, as: type), x: x, scale: scale, saved: saved,
            residual: residual.map { try backend.upload($0, as: type) })
        ]
      }
      expectClose(
        dx[0], backward.dx,
        Tolerance(
          type, terms: count, roundings: item.residual ? 2 : 1, condition: condition, magnitude: backward.magnitude),
        "dx on \(backend.name)")
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  /// A broken number breaks its group or row, forward and backward, and no other.
  @Test(arguments: TestBackends.all, [Float.nan, .infinity])
  func brokenNumbersStayVisible(_ backend: TestBackend, _ broken: Float) throws {
    var random = RandomTensors(seed: 33)
    let type = backend.precision
    let shape: Shape = [2, 5, 7, 12]
    let clean = random.normal(shape, as: type)
    let dy = random.normal(shape, as: type)
    let scale = HostTensor(repeating: 1, [12])
    let shift = HostTensor(repeating: 0.5, [12])
    func spoiled(_ tensor: HostTensor) -> HostTensor {
      var tensor = tensor
      tensor.values[(5 * 7 + 3) * 12 + 7] = broken
      return tensor
    }
    let group = GroupNorm(groups: 4, epsilon: 1e-5, activation: .silu)
    let layer = LayerNorm(epsilon: 1e-5)
    let (scales, shifts) = (ReferenceTensor(scale), ReferenceTensor(shift))

    func check<B: Backend>(_ backend: B) throws {
      let (scale, shift) = try (backend.upload(scale, as: .float32), backend.upload(shift, as: .float32))
      for (x, dy) in [(spoiled(clean), dy), (clean, spoiled(dy))] {
        let (references, references2) = (ReferenceTensor(x), ReferenceTensor(dy))
        let (x, dy) = try (backend.upload(x, as: type), backend.upload(dy, as: type))
        let tolerance = Tolerance(type, terms: 420)
        let (y, saved) = try backend.forward(group, x, scale: scale, shift: shift)
        expectClose(
          try backend.download(y), Reference.forward(group, references, scale: scales, shift: shifts).y, tolerance,
          "group norm")
        expectClose(
          try backend.download(
            backend.backwardInput(group, dy, x: x, scale: scale, shift: shift, saved: saved, residual: nil)),
          Reference.backwardInput(group, references2, x: references, scale: scales, shift: shifts).dx, tolerance,
          "group norm's gradient")
        let (z, savedRows) = try backend.forward(layer, x, scale: scale, shift: shift)
        expectClose(
          try backend.download(z), Reference.forward(layer, references, scale: scales, shift: shifts).y, tolerance,
          "layer norm")
        expectClose(
          try backend.download(backend.backwardInput(layer, dy, x: x, scale: scale, saved: savedRows, residual: nil)),
          Reference.backwardInput(layer, references2, x: references, scale: scales).dx, tolerance,
          "layer norm's gradient")
      }
    }
    try backend.run { try check($0) }
  }

  @Test(arguments: TestBackends.all)
  func refusesWhatDoesNotFit(_ backend: TestBackend) throws {
    func check<B: Backend>(_ backend: B) throws {
      let x = try backend.upload(HostTensor(repeating: 1, [1, 2, 2, 6]), as: backend.precision)
      let six = try backend.upload(HostTensor(repeating: 1, [6]), as: .float32)
      let five = try backend.upload(HostTensor(repeating: 1, [5]), as: .float32)
      expectRefusal(.invalidShape, "six channels in four groups") {
        _ = try backend.forward(GroupNorm(groups: 4, epsilon: 1e-5), x, scale: six, shift: six)
      }
      expectRefusal(.invalidShape, "five scales for six channels") {
        _ = try backend.forward(LayerNorm(epsilon: 1e-5), x, scale: five, shift: five)
      }
    }
    try backend.run { try check($0) }
  }
}
