import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

/// The plain loops against PyTorch's own operations in double precision: the numbers of `Tools/reference/operations.py`, whose
/// parameters stand here again.
@Suite struct ReferenceTests {
  let file: SafetensorsFile

  init() throws { file = try SafetensorsFile(Fixtures.url("operations.safetensors")) }

  private func tensor(_ name: String) throws -> ReferenceTensor { ReferenceTensor(try file.tensor(name)) }

  /// The file holds doubles rounded to 32 bits, and sums of such: a few roundings of the largest number.
  private func expect(
    _ actual: ReferenceTensor, _ name: String, tolerance: Double = 1e-6,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let expected = try tensor(name)
    #expect(actual.shape == expected.shape, "\(name)", sourceLocation: sourceLocation)
    let worst = zip(actual.values, expected.values).reduce(0) { max($0, abs($1.0 - $1.1)) }
    #expect(worst <= tolerance * max(1, expected.largest), "\(name)", sourceLocation: sourceLocation)
  }

  @Test func linear() throws {
    let op = Linear(inputs: 5, outputs: 4)
    let weight = try tensor("linear.weight")
    try expect(Reference.forward(op, tensor("linear.x"), weight: weight, bias: tensor("linear.bias")), "linear.y")
    try expect(Reference.backwardInput(op, tensor("linear.dy"), weight: weight), "linear.dx")
  }

  @Test(arguments: [
    ("convolution", Convolution(inputs: 3, outputs: 4)),
    ("convolution_stride", Convolution(inputs: 3, outputs: 4, stride: 2)),
    ("convolution_trailing", Convolution(inputs: 3, outputs: 4, stride: 2, padding: .trailing)),
    ("convolution_point", Convolution(inputs: 3, outputs: 4, kernel: 1)),
  ])
  func convolution(_ name: String, _ op: Convolution) throws {
    let (x, weight) = try (tensor("\(name).x"), tensor("\(name).weight"))
    try expect(Reference.forward(op, x, weight: weight, bias: tensor("\(name).bias")), "\(name).y")
    try expect(Reference.backwardInput(op, tensor("\(name).dy"), inputShape: x.shape, weight: weight), "\(name).dx")
  }

  @Test(arguments: [("attention", false), ("attention_causal", true)])
  func attention(_ name: String, _ isCausal: Bool) throws {
    let op = Attention(heads: 2, headDimension: 3, isCausal: isCausal)
    let (q, k, v) = try (tensor("\(name).q"), tensor("\(name).k"), tensor("\(name).v"))
    try expect(Reference.forward(op, q: q, k: k, v: v).output, "\(name).y")
    let gradients = try Reference.backwardInput(op, tensor("\(name).dy"), q: q, k: k, v: v)
    try expect(gradients.query, "\(name).dq")
    try expect(gradients.key, "\(name).dk")
    try expect(gradients.value, "\(name).dv")
  }

  @Test(arguments: [("group_norm", nil), ("group_norm_silu", .silu)] as [(String, Activation?)])
  func groupNorm(_ name: String, _ activation: Activation?) throws {
    let op = GroupNorm(groups: 3, epsilon: 1e-3, activation: activation)
    let (x, scale, shift) = try (tensor("\(name).x"), tensor("\(name).scale"), tensor("\(name).shift"))
    try expect(Reference.forward(op, x, scale: scale, shift: shift).y, "\(name).y")
    try expect(Reference.backwardInput(op, tensor("\(name).dy"), x: x, scale: scale, shift: shift).dx, "\(name).dx")
  }

  @Test func layerNorm() throws {
    let op = LayerNorm(epsilon: 1e-3)
    let (x, scale) = try (tensor("layer_norm.x"), tensor("layer_norm.scale"))
    try expect(Reference.forward(op, x, scale: scale, shift: tensor("layer_norm.shift")).y, "layer_norm.y")
    try expect(Reference.backwardInput(op, tensor("layer_norm.dy"), x: x, scale: scale).dx, "layer_norm.dx")
  }

  @Test(arguments: Activation.allCases)
  func activation(_ op: Activation) throws {
    let x = try tensor("\(op).x")
    try expect(Reference.forward(op, x), "\(op).y")
    try expect(Reference.backwardInput(op, tensor("\(op).dy"), x: x), "\(op).dx")
  }

  @Test func movesAndGates() throws {
    let gated = try tensor("geglu.x")
    try expect(Reference.forward(GEGLU(), gated), "geglu.y")
    try expect(Reference.backwardInput(GEGLU(), tensor("geglu.dy"), x: gated), "geglu.dx")
    for (name, op) in [("upsample", Upsample()), ("upsample_trimmed", Upsample(trimsHeight: true, trimsWidth: true))] {
      try expect(Reference.forward(op, tensor("\(name).x")), "\(name).y")
      try expect(Reference.backwardInput(op, tensor("\(name).dy")), "\(name).dx")
    }
    let join = ConcatenateChannels()
    try expect(Reference.forward(join, tensor("concatenate.a"), tensor("concatenate.b")), "concatenate.y")
    let parts = try Reference.backwardInput(join, tensor("concatenate.dy"), channels: 4)
    try expect(parts.a, "concatenate.da")
    try expect(parts.b, "concatenate.db")
  }

  /// diffusers computes the angles in 32 bits: the largest here that is rounded, 158, is good to three roundings, 2.8e-5.
  @Test func timesteps() throws {
    let timesteps: [Float] = [0, 1, 250, 999]
    try expect(Reference.forward(TimestepEmbedding(dimension: 10), timesteps), "timesteps.y", tolerance: 3e-5)
    try expect(
      Reference.forward(TimestepEmbedding(dimension: 10, flipsSineToCosine: false, frequencyShift: 1), timesteps),
      "timesteps_sine_first.y", tolerance: 3e-5)
    try expect(Reference.forward(TimestepEmbedding(dimension: 7), timesteps), "timesteps_odd.y", tolerance: 3e-5)
  }

  @Test func squaredError() throws {
    let (prediction, target) = try (tensor("mse.prediction"), tensor("mse.target"))
    let op = PredictionLoss()
    try expect(Reference.forward(op, prediction: prediction, target: target), "mse.y")
    try expect(Reference.backwardInput(op, prediction: prediction, target: target, scale: 1), "mse.dx")
  }

  @Test func embedding() throws {
    let op = TokenEmbedding(vocabulary: 4, width: 3)
    let tokens = TokenBatch(ids: [0, 4, 5, 4, 5, 1, 3, 4], batch: 2, length: 4)
    try expect(
      Reference.forward(
        op, tokens, table: tensor("embedding.table"), positions: tensor("embedding.positions"),
        rows: tensor("embedding.rows")), "embedding.y")
    try expect(Reference.backwardRows(op, tensor("embedding.dy"), tokens, count: 2, scale: 1), "embedding.drows")
  }

  @Test func pixelSum() throws {
    try expect(Reference.forward(PixelSum(), tensor("pixel_sum.x")), "pixel_sum.y")
  }

  @Test func tokenSelection() throws {
    let op = TokenSelection(positions: [2, 0], length: 4)
    try expect(Reference.forward(op, tensor("selection.x")), "selection.y")
    try expect(Reference.backwardInput(op, tensor("selection.dy")), "selection.dx")
  }
}
