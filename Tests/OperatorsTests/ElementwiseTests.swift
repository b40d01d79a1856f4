import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

/// Elementwise operations against the plain loops.
@Suite struct ElementwiseTests {
  /// One element, odd counts, the edges of vectors and work-groups, more than one round of any grid's.
  static let shapes: [Shape] = [
    [1], [1, 7], [3, 5], [1, 255], [257], [2, 3, 5, 11], [4, 1024], [1, 31, 33, 64], [2, 65, 63, 3],
  ]

  /// OpenCL lets an exponential be off by 3 units in the last place, a division by 2.5 and an error function by 16; a gradient has
  /// two of the former or one of the latter: 16 units, 32 roundings.
  static func function(_ type: ElementType) -> Tolerance { Tolerance(type, terms: 1, condition: 2) }

  @Test(arguments: Activation.allCases, ElementType.allCases)
  func activationsEqualThePlainLoop(_ op: Activation, _ type: ElementType) throws {
    for (index, shape) in Self.shapes.enumerated() {
      var random = RandomTensors(seed: 41 + UInt64(index))
      // Wide enough to reach both tails.
      let x = random.normal(shape, as: type, deviation: 3)
      let dy = random.normal(shape, as: type)
      let y = Reference.forward(op, ReferenceTensor(x))
      let dx = Reference.backwardInput(op, ReferenceTensor(dy), x: ReferenceTensor(x))
      func check<B: Backend>(_ backend: B) throws {
        let made = try results(backend, "\(op) \(shape)", poison: [(shape, type)]) {
          let x = try backend.upload(x, as: type)
          return [try backend.forward(op, x), try backend.backwardInput(op, backend.upload(dy, as: type), x: x)]
        }
        expectClose(made[0], y, Self.function(type), "\(op) of \(shape) on \(backend.name)")
        expectClose(made[1], dx, Self.function(type), "\(op)'s gradient, \(shape) on \(backend.name)")
      }
      for backend in TestBackends.all(type) { try backend.run { try check($0) } }
    }
  }

  /// Far out the functions are the identity and zero, whatever their exponentials do on the way.
  @Test(arguments: Activation.allCases, TestBackends.all)
  func activationsHoldFarOut(_ op: Activation, _ backend: TestBackend) throws {
    let type = backend.precision
    let far: [Float] = [0, -0, 20, -20, 90, -90, 200, -200, 1000, -1000, 60000, -60000].map { type.rounded($0) }
    let x = HostTensor([far.count], far)
    let ones = HostTensor(repeating: 1, [far.count])
    func check<B: Backend>(_ backend: B) throws {
      let stored = try backend.upload(x, as: type)
      let y = try backend.download(backend.forward(op, stored))
      let slope = try backend.download(backend.backwardInput(op, backend.upload(ones, as: type), x: stored))
      for (index, x) in far.enumerated() where abs(x) >= 20 {
        let expected = x > 0 ? x : 0
        #expect(abs(y.values[index] - expected) < 1e-6, "\(op)(\(x)) on \(backend.name)")
        #expect(abs(slope.values[index] - (x > 0 ? 1 : 0)) < 1e-6, "\(op)'(\(x)) on \(backend.name)")
      }
      #expect(y.values[0] == 0 && y.values[1] == 0)
      #expect(slope.values[0] == 0.5 && slope.values[1] == 0.5)
    }
    try backend.run { try check($0) }
  }

  @Test(
    arguments: [[1, 2], [3, 10], [7, 62], [2, 3, 130], [1, 16, 2560], [2, 33, 640]] as [Shape], ElementType.allCases)
  func gatedUnitEqualsThePlainLoop(_ shape: Shape, _ type: ElementType) throws {
    var random = RandomTensors(seed: 51)
    let op = GEGLU()
    let half = shape.withChannels(shape.channels / 2)
    let x = random.normal(shape, as: type, deviation: 2)
    let dy = random.normal(half, as: type)
    let y = Reference.forward(op, ReferenceTensor(x))
    let dx = Reference.backwardInput(op, ReferenceTensor(dy), x: ReferenceTensor(x))
    func check<B: Backend>(_ backend: B) throws {
      let made = try results(backend, "gated unit", poison: [(shape, type), (half, type)]) {
        let x = try backend.upload(x, as: type)
        return [try backend.forward(op, x), try backend.backwardInput(op, backend.upload(dy, as: type), x: x)]
      }
      expectClose(made[0], y, Self.function(type), "y on \(backend.name)")
      expectClose(made[1], dx, Self.function(type), "dx on \(backend.name)")
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  @Test(
    arguments: [[1, 1, 1, 1], [2, 3, 5, 7], [1, 8, 8, 64], [1, 1, 9, 33], [3, 7, 1, 4], [1, 16, 12, 320]] as [Shape],
    ElementType.allCases)
  func upsamplingEqualsThePlainLoop(_ shape: Shape, _ type: ElementType) throws {
    var random = RandomTensors(seed: 52)
    for op in [
      Upsample(), Upsample(trimsHeight: true), Upsample(trimsWidth: true),
      Upsample(trimsHeight: true, trimsWidth: true),
    ] {
      try check(op, shape, type, &random)
    }
  }

  private func check(_ op: Upsample, _ shape: Shape, _ type: ElementType, _ random: inout RandomTensors) throws {
    let large = try op.outputShape(shape)
    let x = random.normal(shape, as: type)
    let dy = random.normal(large, as: type)
    let y = Reference.forward(op, ReferenceTensor(x))
    let dx = Reference.backwardInput(op, ReferenceTensor(dy))
    func check<B: Backend>(_ backend: B) throws {
      let made = try results(backend, "upsampling", poison: [(shape, type), (large, type)]) {
        [
          try backend.forward(op, backend.upload(x, as: type)),
          try backend.backwardInput(op, backend.upload(dy, as: type)),
        ]
      }
      #expect(made[0].values == y.values.map { Float($0) }, "copies on \(backend.name)")
      #expect(made[0].shape == large)
      expectClose(made[1], dx, Tolerance(type, terms: 4), "dx on \(backend.name)")
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  @Test(
    arguments: [
      ([1, 1], [1, 1]), ([3, 5], [3, 2]), ([2, 3, 5, 7], [2, 3, 5, 64]), ([1, 8, 8, 64], [1, 8, 8, 32]),
      ([1, 5, 3, 640], [1, 5, 3, 320]), ([2, 9, 33], [2, 9, 31]),
    ] as [(Shape, Shape)], ElementType.allCases)
  func concatenationMovesEveryChannel(_ shapes: (Shape, Shape), _ type: ElementType) throws {
    var random = RandomTensors(seed: 53)
    let op = ConcatenateChannels()
    let (a, b) = (random.normal(shapes.0, as: type), random.normal(shapes.1, as: type))
    let joined = try op.outputShape(shapes.0, shapes.1)
    let dy = random.normal(joined, as: type)
    let y = Reference.forward(op, ReferenceTensor(a), ReferenceTensor(b))
    let parts = Reference.backwardInput(op, ReferenceTensor(dy), channels: shapes.0.channels)
    func check<B: Backend>(_ backend: B) throws {
      let made = try results(backend, "concatenation", poison: [(shapes.0, type), (shapes.1, type), (joined, type)]) {
        let (da, db) = try backend.backwardInput(op, backend.upload(dy, as: type), channels: shapes.0.channels)
        return [try backend.forward(op, backend.upload(a, as: type), backend.upload(b, as: type)), da, db]
      }
      for (tensor, reference) in zip(made, [y, parts.a, parts.b]) {
        #expect(tensor.shape == reference.shape)
        #expect(tensor.values == reference.values.map { Float($0) }, "on \(backend.name)")
      }
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  @Test(arguments: ElementType.allCases)
  func sumsEqualThePlainLoop(_ type: ElementType) throws {
    for (index, shape) in Self.shapes.enumerated() {
      var random = RandomTensors(seed: 61 + UInt64(index))
      let (a, b) = (random.normal(shape, as: type), random.normal(shape, as: type))
      // Weighted sums read 32-bit floats whatever they write, or what they write.
      let (x, z) = (random.normal(shape, as: .float32), random.normal(shape, as: .float32))
      let weights = WeightedSum(
        a: random.normal([shape[0]], as: .float32).values, b: random.normal([shape[0]], as: .float32).values)
      let sum = Reference.add(ReferenceTensor(a), ReferenceTensor(b))
      let weighted = Reference.forward(weights, ReferenceTensor(x), ReferenceTensor(z))
      let stored = Reference.forward(weights, ReferenceTensor(a), ReferenceTensor(b))
      func check<B: Backend>(_ backend: B) throws {
        let made = try results(backend, "sums of \(shape)", poison: [(shape, type), (shape, .float32)]) {
          let (x, z) = try (backend.upload(x, as: .float32), backend.upload(z, as: .float32))
          let (a, b) = try (backend.upload(a, as: type), backend.upload(b, as: type))
          return [
            try backend.add(a, b), try backend.forward(weights, x, z, as: type),
            try backend.forward(weights, x, z, as: .float32), try backend.forward(weights, a, b, as: type),
          ]
        }
        expectClose(made[0], sum, Tolerance(type, terms: 2), "sum of \(shape) on \(backend.name)")
        expectClose(made[1], weighted, Tolerance(type, terms: 2), "weighted sum of \(shape) on \(backend.name)")
        expectClose(made[2], weighted, Tolerance(.float32, terms: 2), "weighted sum in f32 on \(backend.name)")
        expectClose(made[3], stored, Tolerance(type, terms: 2), "weighted sum of stored numbers on \(backend.name)")
      }
      for backend in TestBackends.all(type) { try backend.run { try check($0) } }
    }
  }

  /// One pixel, less than a slice, one and several with a rest, the sizes of SDXL's own.
  @Test(
    arguments: [
      [1, 1], [2, 3, 5, 7], [1, 8, 8, 64], [3, 1, 65, 33], [2, 63, 65, 8], [1, 96, 97, 20], [1, 32, 32, 1280],
      [2, 128, 128, 24],
    ] as [Shape], ElementType.allCases)
  func sumsOverPixelsEqualThePlainLoop(_ shape: Shape, _ type: ElementType) throws {
    var random = RandomTensors(seed: 56)
    let op = PixelSum()
    let x = random.normal(shape, as: type)
    let y = Reference.forward(op, ReferenceTensor(x))
    func check<B: Backend>(_ backend: B) throws {
      let poison: [(Shape, ElementType)] = [(y.shape, type), ([shape[0], 8, shape.channels], .float32)]
      let made = try results(backend, "sum over pixels", poison: poison) {
        [try backend.forward(op, backend.upload(x, as: type))]
      }
      expectClose(made[0], y, Tolerance(type, terms: op.pixels(shape)), "sum over \(shape) on \(backend.name)")
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  @Test(
    arguments: [
      TimestepEmbedding(dimension: 2), TimestepEmbedding(dimension: 320),
      TimestepEmbedding(dimension: 34, flipsSineToCosine: false, frequencyShift: 1),
      TimestepEmbedding(dimension: 64, frequencyShift: 1), TimestepEmbedding(dimension: 15),
    ], ElementType.allCases)
  func timestepsEqualThePlainLoop(_ op: TimestepEmbedding, _ type: ElementType) throws {
    let timesteps: [Float] = [0, 1, 17, 500.5, 999]
    let y = Reference.forward(op, timesteps)
    // An angle of up to 999 in 32 bits is good to 999 roundings of it, and so is its sine.
    let tolerance = Tolerance(type, terms: 1, condition: 999 / 4)
    func check<B: Backend>(_ backend: B) throws {
      let made = try results(backend, "timesteps", poison: [(y.shape, type)]) { [try backend.forward(op, timesteps)] }
      expectClose(made[0], y, tolerance, "timesteps on \(backend.name)")
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  /// Angles rounded as diffusers rounds them give its sinusoids; its exponential is another library's, and may be off by one
  /// unit in a few. Angles in double precision agree so well in two thirds only.
  @Test(arguments: TestBackends.float32) func timestepsAreDiffusers(_ backend: TestBackend) throws {
    let expected = try SafetensorsFile(Fixtures.url("operations.safetensors")).tensor("timesteps_wide.y")
    let op = TimestepEmbedding(dimension: expected.shape.channels)
    func check<B: Backend>(_ backend: B) throws {
      let made = try backend.download(backend.forward(op, [1, 250, 501, 999]))
      let equal = zip(made.values, expected.values).count { abs($0 - $1) < 2e-7 }
      #expect(made.shape == expected.shape && Double(equal) > 0.95 * Double(expected.shape.count), "\(equal) equal")
    }
    try backend.run { try check($0) }
  }

  @Test(
    arguments: [[1], [3, 5], [1, 8, 8, 4], [2, 12, 20, 4], [1, 64, 64, 4], [1, 129, 127, 3]] as [Shape],
    ElementType.allCases)
  func predictionLossEqualsThePlainLoop(_ shape: Shape, _ type: ElementType) throws {
    var random = RandomTensors(seed: 54)
    let prediction = random.normal(shape, as: type)
    let target = random.normal(shape, as: .float32)
    // Weights of either size, and none at all at some places, as a mask has them; what has one dimension has no places.
    var places = random.normal(shape.withChannels(1), as: .float32)
    places.values = places.values.map { max(0, $0) }
    let scale: Float = 1024
    for huber in [nil, (0..<shape[0]).map { 0.05 + Float($0) }] as [[Float]?] {
      for weights in shape.rank > 1 ? [nil, places] : [nil] {
        let op = PredictionLoss(huber: huber)
        let reference = (
          ReferenceTensor(prediction), target: ReferenceTensor(target), weights: weights.map { ReferenceTensor($0) }
        )
        let loss = Reference.forward(
          op, prediction: reference.0, target: reference.target, weights: reference.weights)
        let gradient = Reference.backwardInput(
          op, prediction: reference.0, target: reference.target, weights: reference.weights, scale: scale)
        func check<B: Backend>(_ backend: B) throws {
          let made = try results(backend, "loss", poison: [(shape, type), ([1], .float32)]) {
            let (p, t) = try (backend.upload(prediction, as: type), backend.upload(target, as: .float32))
            let w = try weights.map { try backend.upload($0, as: .float32) }
            return [
              try backend.forward(op, prediction: p, target: t, weights: w),
              try backend.backwardInput(op, prediction: p, target: t, weights: w, scale: scale),
            ]
          }
          let what =
            "\(huber == nil ? "squared" : "Huber"), \(weights == nil ? "plain" : "weighted") on \(backend.name)"
          expectClose(made[0], loss, Tolerance(.float32, terms: shape.count), "loss, \(what)")
          expectClose(made[1], gradient, Tolerance(type, terms: 2), "gradient, \(what)")
        }
        for backend in TestBackends.all(type) { try backend.run { try check($0) } }
      }
    }
  }

  /// A broken number anywhere breaks the loss and its own results.
  @Test(arguments: TestBackends.all, [Float.nan, .infinity, -.infinity])
  func brokenNumbersStayVisible(_ backend: TestBackend, _ broken: Float) throws {
    var random = RandomTensors(seed: 55)
    let type = backend.precision
    let shape: Shape = [1, 6, 10, 14]
    var x = random.normal(shape, as: type)
    x.values[777] = broken
    let other = random.normal(shape, as: type)
    let half = random.normal([1, 6, 10, 7], as: type)
    let reference = ReferenceTensor(x)
    func check<B: Backend>(_ backend: B) throws {
      let (stored, clean) = try (backend.upload(x, as: type), backend.upload(other, as: type))
      func finite(_ tensor: Tensor<B.Storage>) throws -> [Bool] { try backend.download(tensor).values.map(\.isFinite) }
      func whole(_ reference: ReferenceTensor) -> [Bool] { reference.values.map(\.isFinite) }

      #expect(try finite(backend.add(stored, clean)) == whole(reference))
      for op in Activation.allCases {
        #expect(
          try finite(backend.backwardInput(op, stored, x: clean))
            == whole(Reference.backwardInput(op, reference, x: ReferenceTensor(other))), "\(op)'s gradient")
        guard broken != -.infinity else { continue }  // The limit is 0, the formula 0 · ∞; either will do.
        #expect(try finite(backend.forward(op, stored)) == whole(Reference.forward(op, reference)), "\(op)")
      }
      if broken != -.infinity {
        #expect(
          try finite(backend.forward(GEGLU(), stored)) == whole(Reference.forward(GEGLU(), reference)), "gated unit")
      }
      #expect(
        try finite(backend.backwardInput(GEGLU(), backend.upload(half, as: type), x: clean)).allSatisfy { $0 })
      #expect(
        try finite(backend.backwardInput(Upsample(), stored)) == whole(Reference.backwardInput(Upsample(), reference)))
      let target = try backend.upload(other, as: .float32)
      let unseen = try backend.upload(HostTensor(repeating: 0, [1, 6, 10, 1]), as: .float32)
      for (op, weights) in [
        (PredictionLoss(), nil), (PredictionLoss(), unseen), (PredictionLoss(huber: [0.1]), nil),
      ] {
        #expect(
          try finite(backend.forward(op, prediction: stored, target: target, weights: weights)) == [false])
        // Of a number without end the slope of pseudo-Huber is one again.
        guard op.huber == nil || broken.isNaN else { continue }
        #expect(
          try finite(
            backend.backwardInput(op, prediction: stored, target: target, weights: weights, scale: 1))
            == whole(reference))
      }
    }
    try backend.run { try check($0) }
  }

  @Test(arguments: TestBackends.all)
  func refusesWhatDoesNotFit(_ backend: TestBackend) throws {
    func check<B: Backend>(_ backend: B) throws {
      func tensor(_ shape: Shape, _ type: ElementType? = nil) throws -> Tensor<B.Storage> {
        try backend.upload(HostTensor(repeating: 1, shape), as: type ?? backend.precision)
      }
      expectRefusal(.invalidShape, "a gated unit of odd width") { _ = try backend.forward(GEGLU(), tensor([2, 3])) }
      expectRefusal(.invalidShape, "upsampling a matrix") { _ = try backend.forward(Upsample(), tensor([2, 3])) }
      expectRefusal(.invalidShape, "joining different rows") {
        _ = try backend.forward(ConcatenateChannels(), tensor([2, 3]), tensor([3, 3]))
      }
      expectRefusal(.invalidShape, "a weight too few") {
        _ = try backend.forward(
          WeightedSum(a: [1], b: [1]), tensor([2, 3], .float32), tensor([2, 3], .float32), as: .float32)
      }
      expectRefusal(.invalidShape, "a target of another shape") {
        _ = try backend.forward(
          PredictionLoss(), prediction: tensor([2, 3]), target: tensor([3, 2], .float32), weights: nil)
      }
      for weights in [[2, 3], [2], [1, 1]] as [Shape] {
        expectRefusal(.invalidShape, "weights of \(weights)") {
          _ = try backend.backwardInput(
            PredictionLoss(), prediction: tensor([2, 3]), target: tensor([2, 3], .float32),
            weights: tensor(weights, .float32), scale: 1)
        }
      }
      // One dimension has no places that could have weights; without channels, or samples, there is nothing.
      for (shape, weights) in [
        ([3], [1]), ([3], [3]), ([2, 0], [2, 1]), ([2, 0], nil), ([0], nil), ([0, 3], [0, 1]),
      ]
        as [(Shape, Shape?)]
      {
        expectRefusal(.invalidShape, "\(shape) with weights \(weights.map { "\($0)" } ?? "none")") {
          _ = try backend.forward(
            PredictionLoss(), prediction: tensor(shape), target: tensor(shape, .float32),
            weights: weights.map { try tensor($0, .float32) })
        }
      }
      for huber in [[1], [1, 0], [1, .nan]] as [[Float]] {
        expectRefusal(.invalidShape, "thresholds \(huber)") {
          _ = try backend.forward(
            PredictionLoss(huber: huber), prediction: tensor([2, 3]), target: tensor([2, 3], .float32), weights: nil)
        }
      }
    }
    try backend.run { try check($0) }
  }
}
