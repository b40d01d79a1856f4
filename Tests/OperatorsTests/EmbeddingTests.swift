import Operators
import Tensors
import TestSupport
import Testing

/// The embedding gather and the rows' gradient against the plain loops.
@Suite struct EmbeddingTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var batch: Int
    var length: Int
    var width: Int
    var vocabulary: Int
    var rows: Int

    var testDescription: String { "\(batch)x\(length) of \(width), \(vocabulary) words and \(rows) rows" }

    /// Ids of which about a third are rows in training; the last row stands nowhere if there are several.
    var tokens: TokenBatch {
      let draws = Philox(seed: 71, stream: 1)
      let ids = (0..<batch * length).map { index -> Int32 in
        let named = max(rows - 1, 1)
        guard rows > 0, draws.integer(below: 3, at: 2 * index) == 0 else {
          return Int32(draws.integer(below: vocabulary, at: 2 * index + 1))
        }
        return Int32(vocabulary + draws.integer(below: named, at: 2 * index + 1))
      }
      return TokenBatch(ids: ids, batch: batch, length: length)
    }

    static let all: [Case] = [
      Case(batch: 1, length: 1, width: 1, vocabulary: 1, rows: 1),
      Case(batch: 2, length: 7, width: 5, vocabulary: 11, rows: 3),
      Case(batch: 1, length: 77, width: 63, vocabulary: 100, rows: 1),
      Case(batch: 3, length: 77, width: 65, vocabulary: 50, rows: 8),
      Case(batch: 2, length: 77, width: 768, vocabulary: 300, rows: 2),
      Case(batch: 1, length: 77, width: 1024, vocabulary: 64, rows: 0),
    ]
  }

  @Test(arguments: Case.all, ElementType.allCases)
  func gatherEqualsThePlainLoop(_ item: Case, _ type: ElementType) throws {
    var random = RandomTensors(seed: 72)
    let op = TokenEmbedding(vocabulary: item.vocabulary, width: item.width)
    let table = random.normal([item.vocabulary, item.width], as: type)
    let positions = random.normal([item.length + 2, item.width], as: type)
    let rows = item.rows > 0 ? random.normal([item.rows, item.width], as: .float32) : nil
    let x = Reference.forward(
      op, item.tokens, table: ReferenceTensor(table), positions: ReferenceTensor(positions),
      rows: rows.map { ReferenceTensor($0) })
    func check<B: Backend>(_ backend: B) throws {
      let made = try results(backend, "gather", poison: [(x.shape, type)]) {
        [
          try backend.forward(
            op, item.tokens, table: backend.upload(table, as: type), positions: backend.upload(positions, as: type),
            rows: rows.map { try backend.upload($0, as: .float32) })
        ]
      }
      expectClose(made[0], x, Tolerance(type, terms: 2), "rows on \(backend.name)")
      // A table may stay in 32 bits beside 16-bit activations.
      let wide = try backend.download(
        backend.forward(
          op, item.tokens, table: backend.upload(table, as: .float32),
          positions: backend.upload(positions, as: .float32),
          rows: rows.map { try backend.upload($0, as: .float32) }))
      expectClose(wide, x, Tolerance(type, terms: 2), "rows of a 32-bit table on \(backend.name)")
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  @Test(arguments: Case.all.filter { $0.rows > 0 }, ElementType.allCases)
  func gradientEqualsThePlainLoop(_ item: Case, _ type: ElementType) throws {
    var random = RandomTensors(seed: 73)
    let op = TokenEmbedding(vocabulary: item.vocabulary, width: item.width)
    let dy = random.normal([item.batch, item.length, item.width], as: type)
    let rows: Shape = [item.rows, item.width]
    let sum = random.normal(rows, as: .float32)
    let scale: Float = 0.37
    let alone = Reference.backwardRows(op, ReferenceTensor(dy), item.tokens, count: item.rows, scale: scale)
    let added = Reference.backwardRows(
      op, ReferenceTensor(dy), item.tokens, count: item.rows, scale: scale, addingTo: ReferenceTensor(sum))
    func check<B: Backend>(_ backend: B) throws {
      let made = try results(backend, "rows' gradient", poison: [(rows, .float32), (dy.shape, type)]) {
        let dy = try backend.upload(dy, as: type)
        return [
          try backend.backwardRows(op, dy, item.tokens, count: item.rows, scale: scale, addingTo: nil),
          try backend.backwardRows(
            op, dy, item.tokens, count: item.rows, scale: scale, addingTo: backend.upload(sum, as: .float32)),
        ]
      }
      let tolerance = Tolerance(.float32, terms: item.batch * item.length)
      expectClose(made[0], alone, tolerance, "gradient on \(backend.name)")
      expectClose(made[1], added, tolerance, "gradient and sum on \(backend.name)")
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  /// The first token, the last and one between; the width of SDXL's second text encoder.
  @Test(
    arguments: [([0], 1, 1), ([0, 6, 3], 7, 5), ([76, 4], 77, 1280)] as [([Int], Int, Int)], ElementType.allCases)
  func selectionMovesOneTokenOfEach(_ item: ([Int], Int, Int), _ type: ElementType) throws {
    let (positions, length, width) = item
    var random = RandomTensors(seed: 75)
    let op = TokenSelection(positions: positions, length: length)
    let (long, short): (Shape, Shape) = ([positions.count, length, width], [positions.count, width])
    let (x, dy) = (random.normal(long, as: type), random.normal(short, as: type))
    let y = Reference.forward(op, ReferenceTensor(x))
    let dx = Reference.backwardInput(op, ReferenceTensor(dy))
    func check<B: Backend>(_ backend: B) throws {
      let made = try results(backend, "selection", poison: [(short, type), (long, type)]) {
        [
          try backend.forward(op, backend.upload(x, as: type)),
          try backend.backwardInput(op, backend.upload(dy, as: type)),
        ]
      }
      for (tensor, reference) in zip(made, [y, dx]) {
        #expect(tensor.shape == reference.shape)
        #expect(tensor.values == reference.values.map { Float($0) }, "on \(backend.name)")
      }
      expectRefusal(.invalidShape, "a token beyond the prompt") {
        _ = try backend.forward(
          TokenSelection(positions: positions.map { _ in length }, length: length), backend.upload(x, as: type))
      }
    }
    for backend in TestBackends.all(type) { try backend.run { try check($0) } }
  }

  /// An overflow in one position's gradient must reach the row it belongs to.
  @Test(arguments: TestBackends.all, [Float.nan, .infinity])
  func brokenNumbersStayVisible(_ backend: TestBackend, _ broken: Float) throws {
    let op = TokenEmbedding(vocabulary: 4, width: 3)
    let tokens = TokenBatch(ids: [0, 4, 5, 4], batch: 1, length: 4)
    var dy = HostTensor(repeating: 1, [1, 4, 3])
    dy.values[3 * 3 + 1] = broken
    func check<B: Backend>(_ backend: B) throws {
      let made = try backend.download(
        backend.backwardRows(
          op, backend.upload(dy, as: backend.precision), tokens, count: 2, scale: 1, addingTo: nil))
      #expect(made.values.map(\.isFinite) == [true, false, true, true, true, true])
    }
    try backend.run { try check($0) }
  }

  @Test(arguments: TestBackends.all)
  func refusesWhatDoesNotFit(_ backend: TestBackend) throws {
    func check<B: Backend>(_ backend: B) throws {
      let op = TokenEmbedding(vocabulary: 4, width: 3)
      let table = try backend.upload(HostTensor(repeating: 1, [4, 3]), as: backend.precision)
      expectRefusal(.invalidShape, "an id beyond the rows") {
        _ = try backend.forward(
          op, TokenBatch(ids: [0, 4], batch: 1, length: 2), table: table, positions: table, rows: nil)
      }
      expectRefusal(.invalidShape, "more tokens than positions") {
        _ = try backend.forward(
          op, TokenBatch(ids: [0, 1, 2, 3, 0], batch: 1, length: 5), table: table, positions: table, rows: nil)
      }
    }
    try backend.run { try check($0) }
  }
}
