import Operators
import Tensors

/// What is done to the work of a `Tampered` backend.
public final class Tampering {
  /// Told every operation and transfer by its name before it is done; what it throws, the backend throws.
  public var fault: (_ operation: String) throws(OperationError) -> Void = { _ throws(OperationError) in }
  /// What a download gives in place of what was computed.
  public var download: (HostTensor) -> HostTensor = { $0 }
  /// Told prediction and target of every loss.
  public var loss: ((_ prediction: HostTensor, _ target: HostTensor) -> Void)?

  public init() {}
}

/// A backend that does another's work, but for what a test does to it: a device that is lost, memory that is not there, numbers
/// that are none.
public final class Tampered<B: Backend>: Backend {
  public typealias Storage = B.Storage
  public typealias LinearWeights = B.LinearWeights
  public typealias ConvolutionWeights = B.ConvolutionWeights

  private let backend: B
  private let tampering: Tampering

  public init(_ backend: B, _ tampering: Tampering) {
    self.backend = backend
    self.tampering = tampering
  }

  private func fault(_ operation: String) throws(OperationError) { try tampering.fault(operation) }

  // MARK: - StorageBackend

  public var name: String { backend.name }
  public var precision: ElementType { backend.precision }
  public var memory: MemoryUse { backend.memory }

  public func upload(_ tensor: HostTensor, as type: ElementType) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.upload(tensor, as: type)
  }

  public func download(_ tensor: Tensor<Storage>) throws(OperationError) -> HostTensor {
    try fault(#function)
    return tampering.download(try backend.download(tensor))
  }

  public func synchronize() throws(OperationError) { try backend.synchronize() }

  // MARK: - MatmulBackend

  public func pack(_ op: Linear, weight: HostTensor, bias: HostTensor?, for directions: Directions)
    throws(OperationError) -> LinearWeights
  {
    try backend.pack(op, weight: weight, bias: bias, for: directions)
  }

  public func forward(_ op: Linear, _ x: Tensor<Storage>, weights: LinearWeights, residual: Tensor<Storage>?)
    throws(OperationError) -> Tensor<Storage>
  {
    try fault(#function)
    return try backend.forward(op, x, weights: weights, residual: residual)
  }

  public func backwardInput(_ op: Linear, _ dy: Tensor<Storage>, weights: LinearWeights, residual: Tensor<Storage>?)
    throws(OperationError) -> Tensor<Storage>
  {
    try fault(#function)
    return try backend.backwardInput(op, dy, weights: weights, residual: residual)
  }

  // MARK: - ConvolutionBackend

  public func pack(_ op: Convolution, weight: HostTensor, bias: HostTensor?, for directions: Directions)
    throws(OperationError) -> ConvolutionWeights
  {
    try backend.pack(op, weight: weight, bias: bias, for: directions)
  }

  public func forward(
    _ op: Convolution, _ x: Tensor<Storage>, weights: ConvolutionWeights, residual: Residual<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.forward(op, x, weights: weights, residual: residual)
  }

  public func backwardInput(
    _ op: Convolution, _ dy: Tensor<Storage>, inputShape: Shape, weights: ConvolutionWeights,
    residual: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.backwardInput(op, dy, inputShape: inputShape, weights: weights, residual: residual)
  }

  // MARK: - AttentionBackend

  public func forward(_ op: Attention, q: Tensor<Storage>, k: Tensor<Storage>, v: Tensor<Storage>)
    throws(OperationError) -> Attention.Saved<Storage>
  {
    try fault(#function)
    return try backend.forward(op, q: q, k: k, v: v)
  }

  public func backwardInput(
    _ op: Attention, _ dy: Tensor<Storage>, q: Tensor<Storage>, k: Tensor<Storage>, v: Tensor<Storage>,
    saved: Attention.Saved<Storage>, gradients: Attention.Gradients
  ) throws(OperationError) -> Attention.InputGradients<Storage> {
    try fault(#function)
    return try backend.backwardInput(op, dy, q: q, k: k, v: v, saved: saved, gradients: gradients)
  }

  // MARK: - NormalizationBackend

  public func forward(_ op: GroupNorm, _ x: Tensor<Storage>, scale: Tensor<Storage>, shift: Tensor<Storage>)
    throws(OperationError) -> (y: Tensor<Storage>, saved: GroupNorm.Saved<Storage>)
  {
    try fault(#function)
    return try backend.forward(op, x, scale: scale, shift: shift)
  }

  public func backwardInput(
    _ op: GroupNorm, _ dy: Tensor<Storage>, x: Tensor<Storage>, scale: Tensor<Storage>, shift: Tensor<Storage>,
    saved: GroupNorm.Saved<Storage>, residual: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.backwardInput(op, dy, x: x, scale: scale, shift: shift, saved: saved, residual: residual)
  }

  public func forward(_ op: LayerNorm, _ x: Tensor<Storage>, scale: Tensor<Storage>, shift: Tensor<Storage>)
    throws(OperationError) -> (y: Tensor<Storage>, saved: LayerNorm.Saved<Storage>)
  {
    try fault(#function)
    return try backend.forward(op, x, scale: scale, shift: shift)
  }

  public func backwardInput(
    _ op: LayerNorm, _ dy: Tensor<Storage>, x: Tensor<Storage>, scale: Tensor<Storage>,
    saved: LayerNorm.Saved<Storage>, residual: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.backwardInput(op, dy, x: x, scale: scale, saved: saved, residual: residual)
  }

  // MARK: - ElementwiseBackend

  public func forward(_ op: Activation, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.forward(op, x)
  }

  public func backwardInput(_ op: Activation, _ dy: Tensor<Storage>, x: Tensor<Storage>)
    throws(OperationError) -> Tensor<Storage>
  {
    try fault(#function)
    return try backend.backwardInput(op, dy, x: x)
  }

  public func forward(_ op: GEGLU, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.forward(op, x)
  }

  public func backwardInput(_ op: GEGLU, _ dy: Tensor<Storage>, x: Tensor<Storage>)
    throws(OperationError) -> Tensor<Storage>
  {
    try fault(#function)
    return try backend.backwardInput(op, dy, x: x)
  }

  public func forward(_ op: Upsample, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.forward(op, x)
  }

  public func backwardInput(_ op: Upsample, _ dy: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.backwardInput(op, dy)
  }

  public func forward(_ op: ConcatenateChannels, _ a: Tensor<Storage>, _ b: Tensor<Storage>)
    throws(OperationError) -> Tensor<Storage>
  {
    try fault(#function)
    return try backend.forward(op, a, b)
  }

  public func backwardInput(_ op: ConcatenateChannels, _ dy: Tensor<Storage>, channels: Int)
    throws(OperationError) -> (a: Tensor<Storage>, b: Tensor<Storage>)
  {
    try fault(#function)
    return try backend.backwardInput(op, dy, channels: channels)
  }

  public func add(_ a: Tensor<Storage>, _ b: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.add(a, b)
  }

  public func forward(_ op: PixelSum, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.forward(op, x)
  }

  public func forward(_ op: WeightedSum, _ x: Tensor<Storage>, _ z: Tensor<Storage>, as type: ElementType)
    throws(OperationError) -> Tensor<Storage>
  {
    try fault(#function)
    return try backend.forward(op, x, z, as: type)
  }

  public func forward(
    _ op: PredictionLoss, prediction: Tensor<Storage>, target: Tensor<Storage>, weights: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    if let told = tampering.loss {
      told(try backend.download(prediction), try backend.download(target))
    }
    try fault(#function)
    return try backend.forward(op, prediction: prediction, target: target, weights: weights)
  }

  public func backwardInput(
    _ op: PredictionLoss, prediction: Tensor<Storage>, target: Tensor<Storage>, weights: Tensor<Storage>?, scale: Float
  ) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.backwardInput(op, prediction: prediction, target: target, weights: weights, scale: scale)
  }

  // MARK: - EmbeddingBackend

  public func forward(
    _ op: TokenEmbedding, _ tokens: TokenBatch, table: Tensor<Storage>, positions: Tensor<Storage>,
    rows: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.forward(op, tokens, table: table, positions: positions, rows: rows)
  }

  public func backwardRows(
    _ op: TokenEmbedding, _ dy: Tensor<Storage>, _ tokens: TokenBatch, count: Int, scale: Float,
    addingTo sum: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.backwardRows(op, dy, tokens, count: count, scale: scale, addingTo: sum)
  }

  public func forward(_ op: TokenSelection, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.forward(op, x)
  }

  public func backwardInput(_ op: TokenSelection, _ dy: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try fault(#function)
    return try backend.backwardInput(op, dy)
  }
}
