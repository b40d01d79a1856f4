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

extension Attention {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "Attention.forward"
    public static let pass = OperationPass.forward
    public let op: Attention
    public let q: TensorDescriptor
    public let k: TensorDescriptor
    public let v: TensorDescriptor

    /// The result and the log-sum-exp.
    public func results() throws(OperationError) -> [TensorDescriptor] {
      let width = op.heads * op.headDimension
      try require(
        q.shape.rank == 3 && k.shape.rank == 3 && q.shape.channels == width && k.shape.channels == width
          && q.shape[0] == k.shape[0] && k.shape[1] > 0,
        "q \(q), k \(k) do not fit \(op.heads) heads of \(op.headDimension)")
      try require(k, "k", is: TensorDescriptor(k.shape, q.type))
      try require(v, "v", is: k)
      try require((1...512).contains(op.headDimension), "heads of \(op.headDimension); 1 to 512 are known")
      try require(
        !op.isCausal || q.shape[1] == k.shape[1], "causal over \(q.shape[1]) queries and \(k.shape[1]) keys")
      return [q, TensorDescriptor([q.shape[0], op.heads, q.shape[1]], .float32)]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "Attention.backwardInput"
    public static let pass = OperationPass.backward
    public let forward: ForwardCall
    public let dy: TensorDescriptor
    public let output: TensorDescriptor
    public let logSumExp: TensorDescriptor
    public let gradients: Gradients

    public func results() throws(OperationError) -> [TensorDescriptor] {
      let saved = try results(of: forward)
      try require(
        forward.op.headDimension <= 160, "heads of \(forward.op.headDimension); a backward pass knows 1 to 160")
      try require(dy, "dy", is: forward.q)
      try require(output, "the saved output", is: saved[0])
      try require(logSumExp, "the saved log-sum-exp", is: saved[1])
      return (gradients.contains(.query) ? [forward.q] : [])
        + (gradients.contains(.keyValue) ? [forward.k, forward.v] : [])
    }
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
