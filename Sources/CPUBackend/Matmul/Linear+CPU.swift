import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  /// `W` packed; `b` in float32.
  public struct LinearWeights: LayerWeights {
    public let descriptor: WeightsDescriptor
    let product: FrozenWeights
    let bias: CPUStorage?
  }

  /// The rows that layouts are chosen for: those of a UNet's middle levels.
  private static let representativeRows = 1024

  public func pack(
    _ op: Linear, weight: HostTensor, bias: HostTensor?, for directions: Directions
  ) throws(OperationError) -> LinearWeights {
    let bias = try uploadedBias(bias)
    let product = try packed(
      forward: shape(op, rows: Self.representativeRows), backward: backwardShape(op, rows: Self.representativeRows),
      weight.values, for: directions, "Linear.pack")
    return LinearWeights(
      descriptor: WeightsDescriptor(shape: weight.shape, type: precision, directions: directions), product: product,
      bias: bias)
  }

  public func forward(
    _ op: Linear, _ x: Tensor<CPUStorage>, weights: LinearWeights, residual: Tensor<CPUStorage>?
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let result = try op.outputShape(x.shape)
    return try product(
      shape(op, rows: x.shape.rows), x, weights.product,
      Epilogue(bias: weights.bias, activation: op.activation, residual: residual.map(Residual.tensor)), result: result,
      "Linear.forward")
  }

  public func backwardInput(
    _ op: Linear, _ dy: Tensor<CPUStorage>, weights: LinearWeights, residual: Tensor<CPUStorage>?
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let result = try op.inputShape(dy.shape)
    return try product(
      backwardShape(op, rows: dy.shape.rows), dy, weights.product, Epilogue(residual: residual.map(Residual.tensor)),
      result: result,
      "Linear.backwardInput")
  }

  private func shape(_ op: Linear, rows: Int) -> ProductShape {
    ProductShape(operation: .matmul, element: .float32, batch: rows, inputs: op.inputs, outputs: op.outputs)
  }

  private func backwardShape(_ op: Linear, rows: Int) -> ProductShape {
    ProductShape(operation: .matmulTransposed, element: .float32, batch: rows, inputs: op.outputs, outputs: op.inputs)
  }
}
