import Tensors

/// A backend that has another do its work, and is told every call before it is done: what timing, checking and recording are made
/// of. A decorator overrides `willPerform`, or an operation whose tensors it has to see.
open class Decorated<B: Backend>: Backend {
  public typealias Storage = B.Storage
  public typealias LinearWeights = B.LinearWeights
  public typealias ConvolutionWeights = B.ConvolutionWeights

  public let backend: B

  public init(_ backend: B) { self.backend = backend }

  /// Told what is asked for before it is done; what it throws, the decorated backend throws.
  open func willPerform(_ call: some OperationCall) throws(OperationError) {}

  // MARK: - StorageBackend

  public var name: String { backend.name }
  public var precision: ElementType { backend.precision }
  public var memory: MemoryUse { backend.memory }

  open func upload(_ tensor: HostTensor, as type: ElementType) throws(OperationError) -> Tensor<Storage> {
    try willPerform(UploadCall(tensor: TensorDescriptor(tensor.shape, type)))
    return try backend.upload(tensor, as: type)
  }

  open func download(_ tensor: Tensor<Storage>) throws(OperationError) -> HostTensor {
    try willPerform(DownloadCall(tensor: tensor.descriptor))
    return try backend.download(tensor)
  }

  open func synchronize() throws(OperationError) { try backend.synchronize() }

  /// The decorated backend's own.
  public func dryRun() throws(OperationError) -> B.DryRun { try backend.dryRun() }

  // MARK: - MatmulBackend

  open func pack(_ op: Linear, weight: HostTensor, bias: HostTensor?, for directions: Directions)
    throws(OperationError) -> LinearWeights
  {
    try willPerform(Linear.PackCall(op: op, weight: weight.shape, bias: bias?.shape, directions: directions))
    return try backend.pack(op, weight: weight, bias: bias, for: directions)
  }

  open func forward(_ op: Linear, _ x: Tensor<Storage>, weights: LinearWeights, residual: Tensor<Storage>?)
    throws(OperationError) -> Tensor<Storage>
  {
    try willPerform(
      Linear.ForwardCall(
        op: op, x: x.descriptor, weights: weights.descriptor, residual: residual?.descriptor))
    return try backend.forward(op, x, weights: weights, residual: residual)
  }

  open func backwardInput(_ op: Linear, _ dy: Tensor<Storage>, weights: LinearWeights, residual: Tensor<Storage>?)
    throws(OperationError) -> Tensor<Storage>
  {
    try willPerform(
      Linear.BackwardCall(
        op: op, dy: dy.descriptor, weights: weights.descriptor, residual: residual?.descriptor))
    return try backend.backwardInput(op, dy, weights: weights, residual: residual)
  }

  // MARK: - ConvolutionBackend

  open func pack(_ op: Convolution, weight: HostTensor, bias: HostTensor?, for directions: Directions)
    throws(OperationError) -> ConvolutionWeights
  {
    try willPerform(Convolution.PackCall(op: op, weight: weight.shape, bias: bias?.shape, directions: directions))
    return try backend.pack(op, weight: weight, bias: bias, for: directions)
  }

  open func forward(
    _ op: Convolution, _ x: Tensor<Storage>, weights: ConvolutionWeights, residual: Residual<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    var isOfPixels = false
    if case .channels = residual { isOfPixels = true }
    try willPerform(
      Convolution.ForwardCall(
        op: op, x: x.descriptor, weights: weights.descriptor, residual: residual?.tensor.descriptor,
        isResidualOfPixels: isOfPixels))
    return try backend.forward(op, x, weights: weights, residual: residual)
  }

  open func backwardInput(
    _ op: Convolution, _ dy: Tensor<Storage>, inputShape: Shape, weights: ConvolutionWeights,
    residual: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try willPerform(
      Convolution.BackwardCall(
        op: op, dy: dy.descriptor, inputShape: inputShape, weights: weights.descriptor, residual: residual?.descriptor))
    return try backend.backwardInput(op, dy, inputShape: inputShape, weights: weights, residual: residual)
  }

  // MARK: - AttentionBackend

  open func forward(_ op: Attention, q: Tensor<Storage>, k: Tensor<Storage>, v: Tensor<Storage>)
    throws(OperationError) -> Attention.Saved<Storage>
  {
    try willPerform(Attention.ForwardCall(op: op, q: q.descriptor, k: k.descriptor, v: v.descriptor))
    return try backend.forward(op, q: q, k: k, v: v)
  }

  open func backwardInput(
    _ op: Attention, _ dy: Tensor<Storage>, q: Tensor<Storage>, k: Tensor<Storage>, v: Tensor<Storage>,
    saved: Attention.Saved<Storage>, gradients: Attention.Gradients
  ) throws(OperationError) -> Attention.InputGradients<Storage> {
    try willPerform(
      Attention.BackwardCall(
        forward: Attention.ForwardCall(op: op, q: q.descriptor, k: k.descriptor, v: v.descriptor), dy: dy.descriptor,
        output: saved.output.descriptor, logSumExp: saved.logSumExp.descriptor, gradients: gradients))
    return try backend.backwardInput(op, dy, q: q, k: k, v: v, saved: saved, gradients: gradients)
  }

  // MARK: - NormalizationBackend

  open func forward(_ op: GroupNorm, _ x: Tensor<Storage>, scale: Tensor<Storage>, shift: Tensor<Storage>)
    throws(OperationError) -> (y: Tensor<Storage>, saved: GroupNorm.Saved<Storage>)
  {
    try willPerform(
      GroupNorm.ForwardCall(op: op, x: x.descriptor, scale: scale.descriptor, shift: shift.descriptor))
    return try backend.forward(op, x, scale: scale, shift: shift)
  }

  open func backwardInput(
    _ op: GroupNorm, _ dy: Tensor<Storage>, x: Tensor<Storage>, scale: Tensor<Storage>, shift: Tensor<Storage>,
    saved: GroupNorm.Saved<Storage>, residual: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try willPerform(
      GroupNorm.BackwardCall(
        forward: GroupNorm.ForwardCall(op: op, x: x.descriptor, scale: scale.descriptor, shift: shift.descriptor),
        dy: dy.descriptor, mean: saved.mean.descriptor, reciprocalDeviation: saved.reciprocalDeviation.descriptor,
        residual: residual?.descriptor))
    return try backend.backwardInput(op, dy, x: x, scale: scale, shift: shift, saved: saved, residual: residual)
  }

  open func forward(_ op: LayerNorm, _ x: Tensor<Storage>, scale: Tensor<Storage>, shift: Tensor<Storage>)
    throws(OperationError) -> (y: Tensor<Storage>, saved: LayerNorm.Saved<Storage>)
  {
    try willPerform(
      LayerNorm.ForwardCall(op: op, x: x.descriptor, scale: scale.descriptor, shift: shift.descriptor))
    return try backend.forward(op, x, scale: scale, shift: shift)
  }

  open func backwardInput(
    _ op: LayerNorm, _ dy: Tensor<Storage>, x: Tensor<Storage>, scale: Tensor<Storage>,
    saved: LayerNorm.Saved<Storage>, residual: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try willPerform(
      LayerNorm.BackwardCall(
        op: op, dy: dy.descriptor, x: x.descriptor, scale: scale.descriptor, mean: saved.mean.descriptor,
        reciprocalDeviation: saved.reciprocalDeviation.descriptor, residual: residual?.descriptor))
    return try backend.backwardInput(op, dy, x: x, scale: scale, saved: saved, residual: residual)
  }

  // MARK: - ElementwiseBackend

  open func forward(_ op: Activation, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try willPerform(Activation.ForwardCall(op: op, x: x.descriptor))
    return try backend.forward(op, x)
  }

  open func backwardInput(_ op: Activation, _ dy: Tensor<Storage>, x: Tensor<Storage>)
    throws(OperationError) -> Tensor<Storage>
  {
    try willPerform(Activation.BackwardCall(op: op, dy: dy.descriptor, x: x.descriptor))
    return try backend.backwardInput(op, dy, x: x)
  }

  open func forward(_ op: GEGLU, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try willPerform(GEGLU.ForwardCall(op: op, x: x.descriptor))
    return try backend.forward(op, x)
  }

  open func backwardInput(_ op: GEGLU, _ dy: Tensor<Storage>, x: Tensor<Storage>)
    throws(OperationError) -> Tensor<Storage>
  {
    try willPerform(GEGLU.BackwardCall(op: op, dy: dy.descriptor, x: x.descriptor))
    return try backend.backwardInput(op, dy, x: x)
  }

  open func forward(_ op: Upsample, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try willPerform(Upsample.ForwardCall(op: op, x: x.descriptor))
    return try backend.forward(op, x)
  }

  open func backwardInput(_ op: Upsample, _ dy: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try willPerform(Upsample.BackwardCall(op: op, dy: dy.descriptor))
    return try backend.backwardInput(op, dy)
  }

  open func forward(_ op: ConcatenateChannels, _ a: Tensor<Storage>, _ b: Tensor<Storage>)
    throws(OperationError) -> Tensor<Storage>
  {
    try willPerform(ConcatenateChannels.ForwardCall(op: op, a: a.descriptor, b: b.descriptor))
    return try backend.forward(op, a, b)
  }

  open func backwardInput(_ op: ConcatenateChannels, _ dy: Tensor<Storage>, channels: Int)
    throws(OperationError) -> (a: Tensor<Storage>, b: Tensor<Storage>)
  {
    try willPerform(ConcatenateChannels.BackwardCall(op: op, dy: dy.descriptor, channels: channels))
    return try backend.backwardInput(op, dy, channels: channels)
  }

  open func add(_ a: Tensor<Storage>, _ b: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try willPerform(AddCall(a: a.descriptor, b: b.descriptor))
    return try backend.add(a, b)
  }

  open func forward(_ op: PixelSum, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try willPerform(PixelSum.ForwardCall(op: op, x: x.descriptor))
    return try backend.forward(op, x)
  }

  open func forward(_ op: WeightedSum, _ x: Tensor<Storage>, _ z: Tensor<Storage>, as type: ElementType)
    throws(OperationError) -> Tensor<Storage>
  {
    try willPerform(WeightedSum.ForwardCall(op: op, x: x.descriptor, z: z.descriptor, type: type))
    return try backend.forward(op, x, z, as: type)
  }

  open func forward(
    _ op: PredictionLoss, prediction: Tensor<Storage>, target: Tensor<Storage>, weights: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try willPerform(call(op, prediction, target, weights))
    return try backend.forward(op, prediction: prediction, target: target, weights: weights)
  }

  open func backwardInput(
    _ op: PredictionLoss, prediction: Tensor<Storage>, target: Tensor<Storage>, weights: Tensor<Storage>?, scale: Float
  ) throws(OperationError) -> Tensor<Storage> {
    try willPerform(PredictionLoss.BackwardCall(forward: call(op, prediction, target, weights)))
    return try backend.backwardInput(op, prediction: prediction, target: target, weights: weights, scale: scale)
  }

  private func call(
    _ op: PredictionLoss, _ prediction: Tensor<Storage>, _ target: Tensor<Storage>, _ weights: Tensor<Storage>?
  ) -> PredictionLoss.ForwardCall {
    PredictionLoss.ForwardCall(
      op: op, prediction: prediction.descriptor, target: target.descriptor, weights: weights?.descriptor)
  }

  // MARK: - EmbeddingBackend

  open func forward(
    _ op: TokenEmbedding, _ tokens: TokenBatch, table: Tensor<Storage>, positions: Tensor<Storage>,
    rows: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try willPerform(
      TokenEmbedding.ForwardCall(
        op: op, tokens: tokens, table: table.descriptor, positions: positions.descriptor, rows: rows?.descriptor,
        type: precision))
    return try backend.forward(op, tokens, table: table, positions: positions, rows: rows)
  }

  open func backwardRows(
    _ op: TokenEmbedding, _ dy: Tensor<Storage>, _ tokens: TokenBatch, count: Int, scale: Float,
    addingTo sum: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage> {
    try willPerform(
      TokenEmbedding.BackwardCall(op: op, dy: dy.descriptor, tokens: tokens, count: count, sum: sum?.descriptor))
    return try backend.backwardRows(op, dy, tokens, count: count, scale: scale, addingTo: sum)
  }

  open func forward(_ op: TokenSelection, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try willPerform(TokenSelection.ForwardCall(op: op, x: x.descriptor))
    return try backend.forward(op, x)
  }

  open func backwardInput(_ op: TokenSelection, _ dy: Tensor<Storage>) throws(OperationError) -> Tensor<Storage> {
    try willPerform(TokenSelection.BackwardCall(op: op, dy: dy.descriptor))
    return try backend.backwardInput(op, dy)
  }
}
