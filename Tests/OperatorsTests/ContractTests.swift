import Operators
import Tensors
import TestSupport
import Testing

/// The contract of every call: what breaks it is refused in the same words on every backend, before a backend sees it.
@Suite struct ContractTests {
  @Test(arguments: TestBackends.all)
  func brokenContractsAreRefused(_ backend: TestBackend) throws {
    func check<B: Backend>(_ backend: B) throws {
      for (expected, call) in try cases(backend, other: backend.precision == .float32 ? .float16 : .float32) {
        do {
          try call()
          Issue.record("not refused: \(expected)")
        } catch let error as OperationError {
          #expect(error.description == expected)
          #expect(
            error.code == (expected.contains("packed") || expected.contains("fused") ? .unsupported : .invalidShape))
        }
      }
    }
    try backend.run { try check($0) }
  }

  /// Calls that break a contract each in one way, and what is said of them.
  private func cases<B: Backend>(_ backend: B, other: ElementType) throws -> [(String, () throws -> Void)] {
    let type = backend.precision
    let t = type.rawValue
    let o = other.rawValue
    func host(_ shape: Shape) -> HostTensor { HostTensor(repeating: 1, shape) }
    func tensor(_ shape: Shape, _ type: ElementType? = nil) throws -> Tensor<B.Storage> {
      try backend.upload(host(shape), as: type ?? backend.precision)
    }
    func float(_ shape: Shape) throws -> Tensor<B.Storage> { try tensor(shape, .float32) }
    // A 16-bit type that floats are not, whatever the backend's own precision.
    let half = ElementType.float16
    // One that is neither that of floats nor the backend's own.
    let strange: ElementType = type == .float16 ? .bfloat16 : .float16

    let linear = Linear(inputs: 4, outputs: 2)
    let fused = Linear(inputs: 4, outputs: 2, activation: .silu)
    let both = try backend.pack(linear, weight: host([2, 4]), bias: host([2]), for: .both)
    let forwards = try backend.pack(linear, weight: host([2, 4]), bias: nil, for: .forward)
    let backwards = try backend.pack(linear, weight: host([2, 4]), bias: nil, for: .backward)
    let convolution = Convolution(inputs: 4, outputs: 2)
    let taps = host([2, 4, 3, 3])
    let convolutionBoth = try backend.pack(convolution, weight: taps, bias: host([2]), for: .both)
    let convolutionForwards = try backend.pack(convolution, weight: taps, bias: nil, for: .forward)
    let convolutionBackwards = try backend.pack(convolution, weight: taps, bias: nil, for: .backward)
    let attention = Attention(heads: 2, headDimension: 4)
    let queries = try tensor([1, 3, 8])
    let attended = try backend.forward(attention, q: queries, k: queries, v: queries)
    func attend(
      dy: Tensor<B.Storage>? = nil, output: Tensor<B.Storage>? = nil, logSumExp: Tensor<B.Storage>? = nil
    ) throws {
      _ = try backend.backwardInput(
        attention, dy ?? queries, q: queries, k: queries, v: queries,
        saved: Attention.Saved(
          output: output ?? attended.output, logSumExp: logSumExp ?? attended.logSumExp), gradients: .all)
    }
    let groups = GroupNorm(groups: 2, epsilon: 1e-5)
    let map = try tensor([1, 2, 2, 4])
    let parameters = try float([4])
    let grouped = try backend.forward(groups, map, scale: parameters, shift: parameters).saved
    func groupBack(
      _ dy: Tensor<B.Storage>, mean: Tensor<B.Storage>? = nil, deviation: Tensor<B.Storage>? = nil,
      scale: Tensor<B.Storage>? = nil, residual: Tensor<B.Storage>? = nil
    ) throws {
      _ = try backend.backwardInput(
        groups, dy, x: map, scale: scale ?? parameters, shift: parameters,
        saved: GroupNorm.Saved(
          mean: mean ?? grouped.mean, reciprocalDeviation: deviation ?? grouped.reciprocalDeviation),
        residual: residual)
    }
    let layers = LayerNorm(epsilon: 1e-5)
    let rows = try tensor([3, 4])
    let layered = try backend.forward(layers, rows, scale: parameters, shift: parameters).saved
    func layerBack(
      _ dy: Tensor<B.Storage>, mean: Tensor<B.Storage>? = nil, deviation: Tensor<B.Storage>? = nil,
      scale: Tensor<B.Storage>? = nil, residual: Tensor<B.Storage>? = nil
    ) throws {
      _ = try backend.backwardInput(
        layers, dy, x: rows, scale: scale ?? parameters,
        saved: LayerNorm.Saved(
          mean: mean ?? layered.mean, reciprocalDeviation: deviation ?? layered.reciprocalDeviation),
        residual: residual)
    }
    let sum = WeightedSum(a: [1, 1, 1], b: [1, 1, 1])
    let loss = PredictionLoss()
    let floats = try float([3, 4])
    let embedding = TokenEmbedding(vocabulary: 5, width: 4)
    let tokens = TokenBatch(ids: [0, 5, 4], batch: 1, length: 3)
    let table = try tensor([5, 4])
    let selection = TokenSelection(positions: [1], length: 3)

    return [
      (
        "Linear.pack: a weight of [4, 2], not [2, 4]",
        { _ = try backend.pack(linear, weight: host([4, 2]), bias: nil, for: .both) }
      ),
      (
        "Linear.pack: a bias of [4], not [2]",
        { _ = try backend.pack(linear, weight: host([2, 4]), bias: host([4]), for: .both) }
      ),
      (
        "Linear.forward: x is [3, 2], 4 inputs are asked for",
        { _ = try backend.forward(linear, tensor([3, 2]), weights: both, residual: nil) }
      ),
      (
        "Linear.forward: weights of [2, 4] for \(t), not of [2, 4] for \(o)",
        { _ = try backend.forward(linear, tensor([3, 4], other), weights: both, residual: nil) }
      ),
      (
        "Linear.forward: weights of [2, 4] for \(t), not of [3, 4] for \(t)",
        { _ = try backend.forward(Linear(inputs: 4, outputs: 3), rows, weights: both, residual: nil) }
      ),
      (
        "Linear.forward: the weights were not packed for this direction",
        { _ = try backend.forward(linear, rows, weights: backwards, residual: nil) }
      ),
      (
        "Linear.forward: the residual is [3, 4] \(t), not [3, 2] \(t)",
        { _ = try backend.forward(linear, rows, weights: both, residual: rows) }
      ),
      (
        "Linear.backwardInput: dy is [3, 4], not 2 outputs",
        { _ = try backend.backwardInput(linear, rows, weights: both, residual: nil) }
      ),
      (
        "Linear.backwardInput: the activation is fused: there is no way back through it",
        { _ = try backend.backwardInput(fused, tensor([3, 2]), weights: both, residual: nil) }
      ),
      (
        "Linear.backwardInput: the weights were not packed for this direction",
        { _ = try backend.backwardInput(linear, tensor([3, 2]), weights: forwards, residual: nil) }
      ),
      (
        "Linear.backwardInput: weights of [2, 4] for \(t), not of [2, 4] for \(o)",
        { _ = try backend.backwardInput(linear, tensor([3, 2], other), weights: both, residual: nil) }
      ),
      (
        "Linear.backwardInput: the residual is [3, 2] \(t), not [3, 4] \(t)",
        { _ = try backend.backwardInput(linear, tensor([3, 2]), weights: both, residual: tensor([3, 2])) }
      ),

      (
        "Convolution.pack: a weight of [2, 4], not [2, 4, 3, 3]",
        { _ = try backend.pack(convolution, weight: host([2, 4]), bias: nil, for: .both) }
      ),
      (
        "Convolution.pack: a bias of [4], not [2]",
        { _ = try backend.pack(convolution, weight: taps, bias: host([4]), for: .both) }
      ),
      (
        "Convolution: x is [1, 2, 2, 2], [batch, height, width, 4] is asked for",
        { _ = try backend.forward(convolution, tensor([1, 2, 2, 2]), weights: convolutionBoth, residual: nil) }
      ),
      (
        "Convolution.forward: weights of [2, 4, 3, 3] for \(t), not of [2, 4, 3, 3] for \(o)",
        { _ = try backend.forward(convolution, tensor([1, 2, 2, 4], other), weights: convolutionBoth, residual: nil) }
      ),
      (
        "Convolution.forward: the weights were not packed for this direction",
        { _ = try backend.forward(convolution, map, weights: convolutionBackwards, residual: nil) }
      ),
      (
        "Convolution.forward: the residual is [1, 2, 2, 4] \(t), not [1, 2, 2, 2] \(t)",
        { _ = try backend.forward(convolution, map, weights: convolutionBoth, residual: .tensor(map)) }
      ),
      (
        "Convolution.forward: the residual is [1, 4] \(t), not [1, 2] \(t)",
        { _ = try backend.forward(convolution, map, weights: convolutionBoth, residual: .channels(tensor([1, 4]))) }
      ),
      (
        "Convolution.backwardInput: dy is [1, 2, 2, 4] \(t), not [1, 2, 2, 2] \(t)",
        {
          _ = try backend.backwardInput(
            convolution, map, inputShape: [1, 2, 2, 4], weights: convolutionBoth, residual: nil)
        }
      ),
      (
        "Convolution.backwardInput: the weights were not packed for this direction",
        {
          _ = try backend.backwardInput(
            convolution, tensor([1, 2, 2, 2]), inputShape: [1, 2, 2, 4], weights: convolutionForwards, residual: nil)
        }
      ),
      (
        "Convolution.backwardInput: the residual is [1, 2, 2, 2] \(t), not [1, 2, 2, 4] \(t)",
        {
          _ = try backend.backwardInput(
            convolution, tensor([1, 2, 2, 2]), inputShape: [1, 2, 2, 4], weights: convolutionBoth,
            residual: tensor([1, 2, 2, 2]))
        }
      ),

      (
        "Attention.forward: q [1, 3, 8] \(t), k [2, 3, 8] \(t) do not fit 2 heads of 4",
        { _ = try backend.forward(attention, q: queries, k: tensor([2, 3, 8]), v: tensor([2, 3, 8])) }
      ),
      (
        "Attention.forward: k is [1, 3, 8] \(o), not [1, 3, 8] \(t)",
        { _ = try backend.forward(attention, q: queries, k: tensor([1, 3, 8], other), v: queries) }
      ),
      (
        "Attention.forward: v is [1, 2, 8] \(t), not [1, 3, 8] \(t)",
        { _ = try backend.forward(attention, q: queries, k: queries, v: tensor([1, 2, 8])) }
      ),
      (
        "Attention.forward: causal over 3 queries and 2 keys",
        {
          _ = try backend.forward(
            Attention(heads: 2, headDimension: 4, isCausal: true), q: queries, k: tensor([1, 2, 8]),
            v: tensor([1, 2, 8]))
        }
      ),
      ("Attention.backwardInput: dy is [1, 2, 8] \(t), not [1, 3, 8] \(t)", { try attend(dy: tensor([1, 2, 8])) }),
      (
        "Attention.backwardInput: the saved output is [1, 3, 8] \(o), not [1, 3, 8] \(t)",
        { try attend(output: tensor([1, 3, 8], other)) }
      ),
      (
        "Attention.backwardInput: the saved log-sum-exp is [1, 3, 2] f32, not [1, 2, 3] f32",
        { try attend(logSumExp: float([1, 3, 2])) }
      ),

      (
        "GroupNorm.forward: x is [1, 2, 2, 4] \(t), to fall into 3 groups",
        { _ = try backend.forward(GroupNorm(groups: 3, epsilon: 1), map, scale: parameters, shift: parameters) }
      ),
      (
        "GroupNorm.forward: SiLU alone can follow",
        {
          _ = try backend.forward(
            GroupNorm(groups: 2, epsilon: 1, activation: .gelu), map, scale: parameters, shift: parameters)
        }
      ),
      (
        "GroupNorm.forward: scale is [4] f16, not [4] f32",
        { _ = try backend.forward(groups, map, scale: tensor([4], half), shift: parameters) }
      ),
      (
        "GroupNorm.forward: shift is [2] f32, not [4] f32",
        { _ = try backend.forward(groups, map, scale: parameters, shift: float([2])) }
      ),
      (
        "GroupNorm.backwardInput: dy is [1, 2, 2, 2] \(t), not [1, 2, 2, 4] \(t)",
        { try groupBack(tensor([1, 2, 2, 2])) }
      ),
      (
        "GroupNorm.backwardInput: the saved mean is [1, 4] f32, not [1, 2] f32",
        { try groupBack(map, mean: float([1, 4])) }
      ),
      (
        "GroupNorm.backwardInput: the saved deviation is [1, 2] f16, not [1, 2] f32",
        { try groupBack(map, deviation: tensor([1, 2], half)) }
      ),
      ("GroupNorm.backwardInput: scale is [4] f16, not [4] f32", { try groupBack(map, scale: tensor([4], half)) }),
      (
        "GroupNorm.backwardInput: the residual is [1, 2, 2, 4] \(o), not [1, 2, 2, 4] \(t)",
        { try groupBack(map, residual: tensor([1, 2, 2, 4], other)) }
      ),
      (
        "LayerNorm.forward: scale is [4] f16, not [4] f32",
        { _ = try backend.forward(layers, rows, scale: tensor([4], half), shift: parameters) }
      ),
      (
        "LayerNorm.forward: shift is [3] f32, not [4] f32",
        { _ = try backend.forward(layers, rows, scale: parameters, shift: float([3])) }
      ),
      ("LayerNorm.backwardInput: dy is [2, 4] \(t), not [3, 4] \(t)", { try layerBack(tensor([2, 4])) }),
      ("LayerNorm.backwardInput: the saved mean is [4] f32, not [3] f32", { try layerBack(rows, mean: float([4])) }),
      (
        "LayerNorm.backwardInput: the saved deviation is [3] f16, not [3] f32",
        { try layerBack(rows, deviation: tensor([3], half)) }
      ),
      ("LayerNorm.backwardInput: scale is [3] f32, not [4] f32", { try layerBack(rows, scale: float([3])) }),
      (
        "LayerNorm.backwardInput: the residual is [3, 4] \(o), not [3, 4] \(t)",
        { try layerBack(rows, residual: tensor([3, 4], other)) }
      ),

      (
        "Activation.backwardInput: dy is [3, 4] \(o), not [3, 4] \(t)",
        { _ = try backend.backwardInput(Activation.silu, tensor([3, 4], other), x: rows) }
      ),
      ("GEGLU: x is [2, 3], its channels must be even", { _ = try backend.forward(GEGLU(), tensor([2, 3])) }),
      (
        "GEGLU.backwardInput: dy is [3, 4] \(t), not [3, 2] \(t)",
        { _ = try backend.backwardInput(GEGLU(), rows, x: rows) }
      ),
      ("Upsample: x is [3, 4], not [batch, height, width, channels]", { _ = try backend.forward(Upsample(), rows) }),
      (
        "Upsample: dy is [1, 3, 4, 2], not a result of Upsample(trimsHeight: false, trimsWidth: false)",
        { _ = try backend.backwardInput(Upsample(), tensor([1, 3, 4, 2])) }
      ),
      (
        "ConcatenateChannels: [3, 4] and [2, 4]",
        { _ = try backend.forward(ConcatenateChannels(), rows, tensor([2, 4])) }
      ),
      (
        "ConcatenateChannels.forward: b is [3, 4] \(o), not [3, 4] \(t)",
        { _ = try backend.forward(ConcatenateChannels(), rows, tensor([3, 4], other)) }
      ),
      (
        "ConcatenateChannels.backwardInput: [3, 4] \(t) to be cut after 4",
        { _ = try backend.backwardInput(ConcatenateChannels(), rows, channels: 4) }
      ),
      ("add: b is [4, 3] \(t), not [3, 4] \(t)", { _ = try backend.add(rows, tensor([4, 3])) }),
      ("PixelSum: x is [4], not [batch, ..., channels]", { _ = try backend.forward(PixelSum(), tensor([4])) }),
      (
        "WeightedSum.forward: x is [2, 4] f32, for 3 and 3 weights, a sample each",
        { _ = try backend.forward(sum, float([2, 4]), float([2, 4]), as: type) }
      ),
      (
        "WeightedSum.forward: x is [3, 4] \(strange.rawValue), for a result of \(t)",
        { _ = try backend.forward(sum, tensor([3, 4], strange), tensor([3, 4], strange), as: type) }
      ),
      (
        "WeightedSum.forward: z is [3, 4] f16, not [3, 4] f32",
        { _ = try backend.forward(sum, floats, tensor([3, 4], half), as: type) }
      ),
      (
        "PredictionLoss.forward: the target is [3, 4] f16, not [3, 4] f32",
        { _ = try backend.forward(loss, prediction: rows, target: tensor([3, 4], half), weights: nil) }
      ),
      (
        "PredictionLoss.forward: the weights is [3, 4] f32, not [3, 1] f32",
        { _ = try backend.forward(loss, prediction: rows, target: floats, weights: floats) }
      ),
      (
        "PredictionLoss.forward: prediction [3, 4] \(t), 1 thresholds, which must be above 0",
        { _ = try backend.forward(PredictionLoss(huber: [1]), prediction: rows, target: floats, weights: nil) }
      ),
      (
        "PredictionLoss.backwardInput: the target is [4, 3] f32, not [3, 4] f32",
        { _ = try backend.backwardInput(loss, prediction: rows, target: float([4, 3]), weights: nil, scale: 1) }
      ),

      (
        "TokenEmbedding.forward: 3 ids for 2 prompts of 3",
        {
          _ = try backend.forward(
            embedding, TokenBatch(ids: [0, 1, 2], batch: 2, length: 3), table: table, positions: table, rows: nil)
        }
      ),
      (
        "TokenEmbedding.forward: the table is [4, 4] \(t), not [5, 4] \(t)",
        { _ = try backend.forward(embedding, tokens, table: tensor([4, 4]), positions: table, rows: float([1, 4])) }
      ),
      (
        "TokenEmbedding.forward: 3 tokens, positions [2, 4] \(t)",
        { _ = try backend.forward(embedding, tokens, table: table, positions: tensor([2, 4]), rows: float([1, 4])) }
      ),
      (
        "TokenEmbedding.forward: rows is [1, 4] f16, not [1, 4] f32",
        { _ = try backend.forward(embedding, tokens, table: table, positions: table, rows: tensor([1, 4], half)) }
      ),
      (
        "TokenEmbedding.forward: an id is not below 5 + 0",
        { _ = try backend.forward(embedding, tokens, table: table, positions: table, rows: nil) }
      ),
      (
        "TokenEmbedding.backwardRows: dy is [1, 2, 4] \(t), not [1, 3, 4] \(t)",
        { _ = try backend.backwardRows(embedding, tensor([1, 2, 4]), tokens, count: 1, scale: 1, addingTo: nil) }
      ),
      (
        "TokenEmbedding.backwardRows: the sum is [1, 4] f16, not [1, 4] f32",
        {
          _ = try backend.backwardRows(
            embedding, tensor([1, 3, 4]), tokens, count: 1, scale: 1, addingTo: tensor([1, 4], half))
        }
      ),
      (
        "TokenSelection: tokens [1] of [1, 2, 4], prompts of 3",
        { _ = try backend.forward(selection, tensor([1, 2, 4])) }
      ),
      (
        "TokenSelection: dy is [1, 3, 4], not [batch, width]",
        { _ = try backend.backwardInput(selection, tensor([1, 3, 4])) }
      ),
    ]
  }
}
