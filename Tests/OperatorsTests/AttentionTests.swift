import Operators
import Tensors
import TestSupport
import Testing

struct AttentionCase: Sendable, CustomTestStringConvertible {
  var batch = 1
  var heads: Int
  var d: Int
  var queries: Int
  var keys: Int
  var isCausal = false
  /// The size of `q` and `k`.
  var size: Float = 1
  var gradients: Attention.Gradients = .all

  var op: Attention { Attention(heads: heads, headDimension: d, isCausal: isCausal) }

  var testDescription: String {
    "\(batch)x \(heads) heads of \(d), \(queries) by \(keys)\(isCausal ? " causal" : "")"
      + (size == 1 ? "" : ", numbers of \(size)") + (gradients == .all ? "" : ", gradients \(gradients.rawValue)")
  }

  /// Every width of a head is a program of its own to build: all are tried in 32 bits, in halves the ones that models have
  /// most and one that fits nothing, in bfloat16 two.
  static let allTypes: [(AttentionCase, ElementType)] = all.flatMap { item in
    ElementType.allCases.filter { widths[$0]?.contains(item.d) ?? true }.map { (item, $0) }
  }

  private static let widths: [ElementType: Set<Int>] = [.float16: [5, 40, 64, 160], .bfloat16: [5, 40]]

  private static let all: [AttentionCase] = [
    AttentionCase(heads: 1, d: 1, queries: 1, keys: 1),
    AttentionCase(heads: 3, d: 5, queries: 7, keys: 1),
    AttentionCase(batch: 2, heads: 2, d: 5, queries: 1, keys: 13),
    AttentionCase(batch: 2, heads: 3, d: 1, queries: 9, keys: 17),
    // Every width of a head in use, and widths that no tile fits.
    AttentionCase(batch: 2, heads: 2, d: 8, queries: 33, keys: 33),
    AttentionCase(heads: 2, d: 40, queries: 63, keys: 65),
    AttentionCase(heads: 2, d: 64, queries: 64, keys: 64),
    AttentionCase(heads: 1, d: 80, queries: 65, keys: 63),
    AttentionCase(heads: 2, d: 96, queries: 31, keys: 33),
    AttentionCase(heads: 1, d: 160, queries: 34, keys: 32),
    AttentionCase(heads: 1, d: 127, queries: 19, keys: 23),
    AttentionCase(heads: 1, d: 33, queries: 129, keys: 127),
    // Cross-attention to a prompt.
    AttentionCase(batch: 2, heads: 2, d: 40, queries: 48, keys: 77),
    AttentionCase(heads: 2, d: 160, queries: 16, keys: 77),
    AttentionCase(heads: 8, d: 40, queries: 30, keys: 77, gradients: .keyValue),
    AttentionCase(heads: 2, d: 64, queries: 70, keys: 77, gradients: .query),
    // The text encoder's.
    AttentionCase(batch: 2, heads: 3, d: 64, queries: 77, keys: 77, isCausal: true),
    AttentionCase(heads: 2, d: 8, queries: 65, keys: 65, isCausal: true),
    AttentionCase(heads: 1, d: 5, queries: 1, keys: 1, isCausal: true),
    // Scores whose exponentials no 32-bit float holds.
    AttentionCase(heads: 2, d: 40, queries: 35, keys: 70, size: 5),
    AttentionCase(heads: 2, d: 64, queries: 70, keys: 70, isCausal: true, size: 5),
    // Self-attention of a few hundred pixels.
    AttentionCase(heads: 2, d: 40, queries: 256, keys: 256),
  ]
}

/// Attention against the plain loop.
@Suite struct AttentionTests {
  @Test(arguments: AttentionCase.allTypes)
  func equalsThePlainLoop(_ item: AttentionCase, _ type: ElementType) throws {
    var random = RandomTensors(seed: 21)
    let op = item.op
    let queries: Shape = [item.batch, item.queries, item.heads * item.d]
    let keys: Shape = [item.batch, item.keys, item.heads * item.d]
    let q = random.normal(queries, as: type, deviation: item.size)
    let k = random.normal(keys, as: type, deviation: item.size)
    let v = random.normal(keys, as: type)
    let dy = random.normal(queries, as: type)

    let forward = Reference.forward(op, q: ReferenceTensor(q), k: ReferenceTensor(k), v: ReferenceTensor(v))
    let backward = Reference.backwardInput(
      op, ReferenceTensor(dy), q: ReferenceTensor(q), k: ReferenceTensor(k), v: ReferenceTensor(v))

    // A score's rounding error is relative to its size, and what it does to the exponential is as large as it is. The scores'
    // deviation is size², the largest of a few thousand some four times that.
    let condition = Double(1 + 4 * item.size * item.size)
    // Softmax, result, D and dS may each pass through storage on their way, as the matrix units of GPUs want them.
    let saved = Tolerance(.float32, terms: item.d, condition: condition)
    let output = Tolerance(type, terms: item.d + item.keys, roundings: 2, condition: condition)
    // dS is a difference of numbers as large as dP, whose size is √d; summed over all queries or keys with a factor of size.
    let difference = Double(item.size) * 4
    let gradient = Tolerance(
      type, terms: item.d + item.queries + item.keys, roundings: 4, condition: condition * difference,
      magnitude: item.keys == 1 ? difference : 0)

    func check<B: Backend>(_ backend: B) throws {
      let (q, k, v) = try (backend.upload(q, as: type), backend.upload(k, as: type), backend.upload(v, as: type))
      let poison: [(Shape, ElementType)] = [
        (queries, type), (keys, type), ([item.batch, item.heads, item.queries], .float32),
      ]
      let made = try results(backend, "attention", poison: poison) {
        let saved = try backend.forward(op, q: q, k: k, v: v)
        return [saved.output, saved.logSumExp]
      }
      expectClose(made[0], forward.output, output, "output on \(backend.name)")
      expectClose(made[1], forward.logSumExp, saved, "log-sum-exp on \(backend.name)")

      let context = try backend.forward(op, q: q, k: k, v: v)
      let gradients = try results(backend, "attention's gradients", poison: poison) {
        let gradients = try backend.backwardInput(
          op, backend.upload(dy, as: type), q: q, k: k, v: v, saved: context, gradients: item.gradients)
        #expect((gradients.query != nil) == item.gradients.contains(.query))
        #expect((gradients.key != nil) == item.gradients.contains(.keyValue))
        #expect((gradients.value != nil) == item.gradients.contains(.keyValue))
        return [gradients.query, gradients.key, gradients.value]
      }
      var expected: [(String, ReferenceTensor)] = []
      if item.gradients.contains(.query) { expected.append(("dq", backward.query)) }
      if item.gradients.contains(.keyValue) { expected += [("dk", backward.key), ("dv", backward.value)] }
      for (gradientMade, (name, reference)) in zip(gradients, expected) {
        expectClose(gradientMade, reference, gradient, "\(name) on \(backend.name)")
      }
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  /// The autoencoder's one head, as wide as its features; forward alone.
  @Test(arguments: [(.float32, 192), (.float32, 512), (.float16, 512), (.bfloat16, 512)] as [(ElementType, Int)])
  func widestHeads(_ type: ElementType, _ width: Int) throws {
    var random = RandomTensors(seed: 22)
    let op = Attention(heads: 1, headDimension: width)
    let shape: Shape = [1, 36, width]
    let (q, k, v) = (random.normal(shape, as: type), random.normal(shape, as: type), random.normal(shape, as: type))
    let reference = Reference.forward(op, q: ReferenceTensor(q), k: ReferenceTensor(k), v: ReferenceTensor(v))
    func check<B: Backend>(_ backend: B) throws {
      let (q, k, v) = try (backend.upload(q, as: type), backend.upload(k, as: type), backend.upload(v, as: type))
      let made = try results(backend, "attention", poison: [(shape, type)]) {
        [try backend.forward(op, q: q, k: k, v: v).output]
      }
      expectClose(
        made[0], reference.output, Tolerance(type, terms: width, roundings: 2, condition: 5),
        "output on \(backend.name)")
      let saved = try backend.forward(op, q: q, k: k, v: v)
      expectRefusal(.invalidShape, "a backward pass over a head of \(width)") {
        _ = try backend.backwardInput(op, saved.output, q: q, k: k, v: v, saved: saved, gradients: .all)
      }
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  /// A broken query breaks its own row; a broken key every row that sees it.
  @Test(arguments: TestBackends.all, [false, true])
  func brokenNumbersStayVisible(_ backend: TestBackend, _ isCausal: Bool) throws {
    var random = RandomTensors(seed: 23)
    let op = Attention(heads: 2, headDimension: 8, isCausal: isCausal)
    let type = backend.precision
    let shape: Shape = [1, 70, 16]
    let clean = (random.normal(shape, as: type), random.normal(shape, as: type), random.normal(shape, as: type))
    let dy = random.normal(shape, as: type)
    var (q, k, v, dyBroken) = (clean.0, clean.1, clean.2, dy)
    q.values[3 * 16 + 2] = .nan
    k.values[66 * 16 + 11] = .nan
    v.values[68 * 16 + 1] = .nan
    dyBroken.values[40 * 16 + 5] = .nan
    func check<B: Backend>(_ backend: B) throws {
      func run(_ q: HostTensor, _ k: HostTensor, _ v: HostTensor, _ dy: HostTensor, _ what: String) throws {
        let reference = Reference.forward(op, q: ReferenceTensor(q), k: ReferenceTensor(k), v: ReferenceTensor(v))
        let gradients = Reference.backwardInput(
          op, ReferenceTensor(dy), q: ReferenceTensor(q), k: ReferenceTensor(k), v: ReferenceTensor(v))
        let (q, k, v) = try (backend.upload(q, as: type), backend.upload(k, as: type), backend.upload(v, as: type))
        let saved = try backend.forward(op, q: q, k: k, v: v)
        expectBroken(try backend.download(saved.output), reference.output, "output with \(what)")
        let made = try backend.backwardInput(
          op, backend.upload(dy, as: type), q: q, k: k, v: v, saved: saved, gradients: .all)
        for (name, tensor, expected) in [
          ("dq", made.query, gradients.query), ("dk", made.key, gradients.key), ("dv", made.value, gradients.value),
        ] {
          guard let tensor else { continue }
          expectBroken(try backend.download(tensor), expected, "\(name) with \(what)")
        }
      }
      try run(q, clean.1, clean.2, dy, "a broken query")
      try run(clean.0, k, clean.2, dy, "a broken key")
      try run(clean.0, clean.1, v, dy, "a broken value")
      try run(clean.0, clean.1, clean.2, dyBroken, "a broken output gradient")
    }
    try backend.run { try check($0) }
  }

  /// Every element that is broken in the reference is broken. More may be: a tile multiplies what a causal row does not see by
  /// zero, and zero times a broken number is broken, as it is in PyTorch.
  private func expectBroken(
    _ actual: HostTensor, _ reference: ReferenceTensor, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let hidden = actual.values.indices.count { !reference.values[$0].isFinite && actual.values[$0].isFinite }
    #expect(hidden == 0, "\(what): broken elements look whole", sourceLocation: sourceLocation)
  }

  @Test(arguments: TestBackends.all)
  func refusesWhatDoesNotFit(_ backend: TestBackend) throws {
    func check<B: Backend>(_ backend: B) throws {
      func tensor(_ shape: Shape) throws -> Tensor<B.Storage> {
        try backend.upload(HostTensor(repeating: 1, shape), as: backend.precision)
      }
      expectRefusal(.invalidShape, "a head of 513") {
        let wide = try tensor([1, 2, 513])
        _ = try backend.forward(Attention(heads: 1, headDimension: 513), q: wide, k: wide, v: wide)
      }
      expectRefusal(.invalidShape, "keys of another batch") {
        _ = try backend.forward(
          Attention(heads: 1, headDimension: 4), q: tensor([2, 3, 4]), k: tensor([1, 3, 4]), v: tensor([1, 3, 4]))
      }
      expectRefusal(.invalidShape, "causal attention to other keys") {
        _ = try backend.forward(
          Attention(heads: 1, headDimension: 4, isCausal: true), q: tensor([1, 3, 4]), k: tensor([1, 5, 4]),
          v: tensor([1, 5, 4]))
      }
    }
    try backend.run { try check($0) }
  }
}
