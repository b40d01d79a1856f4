import Tensors

/// Scaled dot-product attention over `heads` heads: `o = softmax(scale q kᵀ) v`, per head.
///
/// `q` and `o` are `[batch, queries, heads * headDimension]`, `k` and `v` are `[batch, keys, heads * headDimension]`, as the
/// linear layers round it leave them. Memory is linear in the sequence: what is saved is one log-sum-exp a row,
/// `[batch, heads, queries]` in float32 (Dao, "FlashAttention-2", 2023). With `P = exp(scale q kᵀ - logSumExp)`:
///
///     D = rowsum(do ∘ o)    dS = P ∘ (do vᵀ - D)    dq = scale dS k    dk = scale dSᵀ q    dv = Pᵀ do
public struct Attention: Sendable, Hashable {
  public let heads: Int
  /// 1 to 160, or to 512 where no gradient is asked for: the autoencoder's one head is as wide as its features.
  public let headDimension: Int
  /// Whether a query sees only the keys up to its own position; queries and keys are then as many.
  public let isCausal: Bool

  public init(heads: Int, headDimension: Int, isCausal: Bool = false) {
    self.heads = heads
    self.headDimension = headDimension
    self.isCausal = isCausal
  }

  /// `1 / sqrt(headDimension)`.
  public var scale: Float { 1 / Float(headDimension).squareRoot() }

  /// What backward needs beside `q`, `k`, `v` and `dy`.
  public struct Saved<Storage: Sendable>: Sendable {
    /// The result, `[batch, queries, heads * headDimension]`.
    public let output: Tensor<Storage>
    /// `[batch, heads, queries]`, float32.
    public let logSumExp: Tensor<Storage>

    public init(output: Tensor<Storage>, logSumExp: Tensor<Storage>) {
      self.output = output
      self.logSumExp = logSumExp
    }
  }

  /// Which of its inputs a backward pass makes gradients for.
  public struct Gradients: OptionSet, Sendable, Hashable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    public static let query = Gradients(rawValue: 1)
    public static let keyValue = Gradients(rawValue: 2)
    public static let all: Gradients = [.query, .keyValue]
  }

  /// The gradients that were asked for.
  public struct InputGradients<Storage: Sendable>: Sendable {
    public let query: Tensor<Storage>?
    public let key: Tensor<Storage>?
    public let value: Tensor<Storage>?

    public init(query: Tensor<Storage>?, key: Tensor<Storage>?, value: Tensor<Storage>?) {
      self.query = query
      self.key = key
      self.value = value
    }
  }

  /// Throws unless the three inputs fit each other and the operation.
  public func check(q: Shape, k: Shape, v: Shape) throws(OperationError) {
    let width = heads * headDimension
    try require(
      q.rank == 3 && k.rank == 3 && q.channels == width && k.channels == width && k == v && q[0] == k[0] && k[1] > 0,
      "Attention", "q \(q), k \(k), v \(v) do not fit \(heads) heads of \(headDimension)")
    try require(
      headDimension >= 1 && headDimension <= 512, "Attention", "heads of \(headDimension); 1 to 512 are known")
    try require(!isCausal || q[1] == k[1], "Attention", "causal over \(q[1]) queries and \(k[1]) keys")
  }

  /// Throws unless a backward pass knows heads of this width; `check` holds too.
  public func checkBackward() throws(OperationError) {
    try require(
      headDimension <= 160, "Attention.backwardInput", "heads of \(headDimension); a backward pass knows 1 to 160")
  }

  /// What forward takes: two products. `backwardCost` is five; a backward in two passes makes the scores twice, seven in all.
  public func cost(q: Shape, k: Shape, type: ElementType) -> Cost {
    let product = 2 * Double(q[0]) * Double(q[1]) * Double(k[1]) * Double(heads * headDimension)
    return Cost(
      flop: 2 * product * (isCausal ? 0.5 : 1), bytes: Double(type.size * 2 * (q.count + k.count)))
  }

  public func backwardCost(q: Shape, k: Shape, type: ElementType) -> Cost {
    let forward = cost(q: q, k: k, type: type)
    return Cost(flop: 2.5 * forward.flop, bytes: Double(type.size * 4 * (q.count + k.count)))
  }
}

public protocol AttentionBackend: StorageBackend {
  /// `o = softmax(scale q kᵀ) v`; the result is `saved.output`.
  func forward(_ op: Attention, q: Tensor<Storage>, k: Tensor<Storage>, v: Tensor<Storage>)
    throws(OperationError) -> Attention.Saved<Storage>

  /// The gradients named in `gradients`, each of its input's shape.
  func backwardInput(
    _ op: Attention, _ dy: Tensor<Storage>, q: Tensor<Storage>, k: Tensor<Storage>, v: Tensor<Storage>,
    saved: Attention.Saved<Storage>, gradients: Attention.Gradients
  ) throws(OperationError) -> Attention.InputGradients<Storage>
}
