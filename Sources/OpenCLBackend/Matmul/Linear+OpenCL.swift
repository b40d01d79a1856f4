import Operators
import Tensors

/// `Matmul/matmul_gpu.cl`.
struct LinearGroupParameters: KernelParameters {
  static let source = "Matmul/matmul_gpu.cl"
  static let sharedSources = ["Matmul/tile_gpu.cl"]
  let tile: GroupTile
  let activation: Activation?

  var defines: [KernelDefine] { tile.defines + [Activation.define(activation)] }
  func check(_ limits: DeviceLimits) throws(OperationError) { try tile.check("linear", limits) }
}

/// `Matmul/matmul_cpu.cl`.
struct LinearBlockParameters: KernelParameters {
  static let source = "Matmul/matmul_cpu.cl"
  static let sharedSources = ["Matmul/tile_cpu.cl", "Matmul/block_cpu.cl"]
  let block: BlockTile
  let activation: Activation?

  var defines: [KernelDefine] { block.defines + [Activation.define(activation)] }
  func check(_ limits: DeviceLimits) throws(OperationError) { try block.check("linear") }
}

extension OpenCLBackend: MatmulBackend {
  public typealias LinearWeights = PackedWeights

  public func pack(_ op: Linear, weight: HostTensor, bias: HostTensor?, for directions: Directions)
    throws(OperationError) -> PackedWeights
  {
    try packWeights(weight, outputs: op.outputs, inputs: op.inputs, taps: 1, bias: bias, for: directions)
  }

  public func forward(
    _ op: Linear, _ x: Tensor<OpenCLBuffer>, weights: PackedWeights, residual: Tensor<OpenCLBuffer>?
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    try linearProduct(op, x, weights, .forward, shape: op.outputShape(x.shape), residual: residual)
  }

  public func backwardInput(
    _ op: Linear, _ dy: Tensor<OpenCLBuffer>, weights: PackedWeights, residual: Tensor<OpenCLBuffer>?
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    return try linearProduct(op, dy, weights, .backward, shape: op.inputShape(dy.shape), residual: residual)
  }

  /// Either direction: a result of `shape` from `x`.
  func linearProduct(
    _ op: Linear, _ x: Tensor<OpenCLBuffer>, _ weights: PackedWeights, _ direction: Directions, shape: Shape,
    residual: Tensor<OpenCLBuffer>?
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let name = direction == .forward ? "Linear.forward" : "Linear.backwardInput"
    let packed = try weights.copy(for: direction, name)
    let y = try allocate(shape, precision)
    let rows = shape.rows
    guard shape.count > 0 else { return y }
    // A kernel takes a buffer for every pointer; those it is told not to read may be any.
    let bias = direction == .forward ? weights.bias : nil
    let residualOrAny = residual ?? x
    let hasResidual = residual == nil ? 0 : 1

    if kernelForm == .gpu {
      let tile = GroupTile.choose(rows: rows, columns: shape.channels, device: device)
      let parameters = LinearGroupParameters(tile: tile, activation: op.activation)
      let size = WorkSize(groups: tile.groups(rows: rows, columns: shape.channels), local: [tile.items, 1])
      if direction == .forward {
        try run(
          "linear_forward", parameters, storage: precision, size, y, x, packed, bias ?? packed, residualOrAny,
          rows, op.inputs, op.outputs, bias == nil ? 0 : 1, hasResidual)
      } else {
        try run(
          "linear_backward_input", parameters, storage: precision, size, y, x, packed, residualOrAny, rows, op.inputs,
          op.outputs, hasResidual)
      }
    } else {
      let block = BlockTile(device)
      let part = block.block(rows: rows, columns: shape.channels, device: device)
      let groups = [
        (shape.channels + part.columns - 1) / part.columns, (rows + part.rows - 1) / part.rows,
      ]
      try run(
        "linear", LinearBlockParameters(block: block, activation: op.activation), storage: precision,
        WorkSize(groups: groups, local: [1, 1]), y, x, packed, bias ?? packed, residualOrAny, rows,
        x.shape.channels, shape.channels, part.rows, part.columns, bias == nil ? 0 : 1, hasResidual)
    }
    return y
  }
}
