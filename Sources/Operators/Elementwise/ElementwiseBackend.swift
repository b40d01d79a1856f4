import Tensors

public protocol ElementwiseBackend: StorageBackend {
  /// `y = f(x)`.
  func forward(_ op: Activation, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage>
  /// `dx = dy f'(x)`.
  func backwardInput(_ op: Activation, _ dy: Tensor<Storage>, x: Tensor<Storage>)
    throws(OperationError) -> Tensor<Storage>

  func forward(_ op: GEGLU, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage>
  func backwardInput(_ op: GEGLU, _ dy: Tensor<Storage>, x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage>

  func forward(_ op: Upsample, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage>
  func backwardInput(_ op: Upsample, _ dy: Tensor<Storage>) throws(OperationError) -> Tensor<Storage>

  func forward(_ op: ConcatenateChannels, _ a: Tensor<Storage>, _ b: Tensor<Storage>)
    throws(OperationError) -> Tensor<Storage>
  /// `dy` cut after `channels` channels.
  func backwardInput(_ op: ConcatenateChannels, _ dy: Tensor<Storage>, channels: Int)
    throws(OperationError) -> (a: Tensor<Storage>, b: Tensor<Storage>)

  /// `a + b`, of one shape and type.
  func add(_ a: Tensor<Storage>, _ b: Tensor<Storage>) throws(OperationError) -> Tensor<Storage>

  /// `[batch, ..., channels]` to `[batch, channels]`, in the type of `x`.
  func forward(_ op: PixelSum, _ x: Tensor<Storage>) throws(OperationError) -> Tensor<Storage>

  /// `y = a x + b z` with weights a sample, written as `type`; `x` and `z` are float32.
  func forward(_ op: WeightedSum, _ x: Tensor<Storage>, _ z: Tensor<Storage>, as type: ElementType)
    throws(OperationError) -> Tensor<Storage>

  /// The loss, `[1]` in float32. `target` and `weights`, one a place, are float32, `prediction` of any type.
  func forward(
    _ op: PredictionLoss, prediction: Tensor<Storage>, target: Tensor<Storage>, weights: Tensor<Storage>?
  ) throws(OperationError) -> Tensor<Storage>
  /// Its gradient times `scale`, in the prediction's type. `scale` holds the loss scale and the share of one micro-batch.
  func backwardInput(
    _ op: PredictionLoss, prediction: Tensor<Storage>, target: Tensor<Storage>, weights: Tensor<Storage>?, scale: Float
  ) throws(OperationError) -> Tensor<Storage>
}

/// `a + b`.
public struct AddCall: OperationCall {
  public static let name: StaticString = "add"
  public static let pass = OperationPass.either
  public let a: TensorDescriptor
  public let b: TensorDescriptor

  public func results() throws(OperationError) -> [TensorDescriptor] {
    try require(b, "b", is: a)
    return [a]
  }
}
