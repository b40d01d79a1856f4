import Operators
import Tensors

/// `Convolution/convolution_gpu.cl`.
struct ConvolutionGroupParameters: KernelParameters {
  static let source = "Convolution/convolution_gpu.cl"
  static let sharedSources = ["Matmul/tile_gpu.cl"]
  let tile: GroupTile

  var defines: [KernelDefine] { tile.defines }
  func check(_ limits: DeviceLimits) throws(OperationError) { try tile.check("convolution", limits) }
}

/// `Convolution/convolution_cpu.cl`.
struct ConvolutionBlockParameters: KernelParameters {
  static let source = "Convolution/convolution_cpu.cl"
  static let sharedSources = ["Matmul/tile_cpu.cl", "Matmul/block_cpu.cl"]
  let block: BlockTile

  var defines: [KernelDefine] { block.defines }
  func check(_ limits: DeviceLimits) throws(OperationError) { try block.check("convolution") }
}

extension OpenCLBackend: ConvolutionBackend {
  public typealias ConvolutionWeights = PackedWeights

  public func pack(_ op: Convolution, weight: HostTensor, bias: HostTensor?, for directions: Directions)
    throws(OperationError) -> PackedWeights
  {
    try packWeights(
      weight, outputs: op.outputs, inputs: op.inputs, taps: op.kernel * op.kernel, bias: bias, for: directions)
  }

  public func forward(
    _ op: Convolution, _ x: Tensor<OpenCLBuffer>, weights: PackedWeights,
    residual: Residual<OpenCLBuffer>?
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let shape = try op.outputShape(x.shape)
    var pixels = 0
    var tensor: Tensor<OpenCLBuffer>?
    switch residual {
    case nil: break
    case .tensor(let residual):
      (tensor, pixels) = (residual, 1)
    case .channels(let channels):
      (tensor, pixels) = (channels, shape[1] * shape[2])
    }
    if op.isPointwise, pixels <= 1 {
      let linear = Linear(inputs: op.inputs, outputs: op.outputs)
      return try linearProduct(linear, x, weights, .forward, shape: shape, residual: tensor)
    }
    return try convolve(op, x, weights, .forward, shape: shape, residual: tensor, residualPixels: pixels)
  }

  public func backwardInput(
    _ op: Convolution, _ dy: Tensor<OpenCLBuffer>, inputShape: Shape, weights: PackedWeights,
    residual: Tensor<OpenCLBuffer>?
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    if op.isPointwise {
      let linear = Linear(inputs: op.inputs, outputs: op.outputs)
      return try linearProduct(linear, dy, weights, .backward, shape: inputShape, residual: residual)
    }
    return try convolve(
      op, dy, weights, .backward, shape: inputShape, residual: residual, residualPixels: residual == nil ? 0 : 1)
  }

  /// Either direction: a result of `shape` from `x`.
  private func convolve(
    _ op: Convolution, _ x: Tensor<OpenCLBuffer>, _ weights: PackedWeights, _ direction: Directions, shape: Shape,
    residual: Tensor<OpenCLBuffer>?, residualPixels: Int
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let name = direction == .forward ? "Convolution.forward" : "Convolution.backwardInput"
    let packed = try weights.copy(for: direction, name)
    let y = try allocate(shape, precision)
    guard shape.count > 0 else { return y }
    let bias = direction == .forward ? weights.bias : nil
    let residualOrAny = residual ?? x
    // Backward goes over the pixels of one parity at a time.
    let dilation = direction == .forward ? 1 : op.stride
    let rows = shape[0] * ((shape[1] + dilation - 1) / dilation) * ((shape[2] + dilation - 1) / dilation)
    let columns = shape[3]

    if kernelForm == .gpu {
      let tile = GroupTile.choose(rows: rows, columns: columns, layers: dilation * dilation, device: device)
      let parameters = ConvolutionGroupParameters(tile: tile)
      let size = WorkSize(
        groups: tile.groups(rows: rows, columns: columns) + [dilation * dilation], local: [tile.items, 1, 1])
      if direction == .forward {
        try run(
          "convolution_forward", parameters, storage: precision, size, y, x, packed, bias ?? packed,
          residualOrAny, x.shape[0], x.shape[1], x.shape[2], op.inputs, shape[1], shape[2], op.outputs, op.kernel,
          op.stride, op.leadingPadding, bias == nil ? 0 : 1, residualPixels)
      } else {
        try run(
          "convolution_backward_input", parameters, storage: precision, size, y, x, packed, residualOrAny, shape[0],
          shape[1], shape[2], op.inputs, x.shape[1], x.shape[2], op.outputs, op.kernel, op.stride, op.leadingPadding,
          residualPixels)
      }
    } else {
      let block = BlockTile(device)
      let layers = dilation * dilation
      let part = block.block(rows: rows, columns: columns, layers: layers, device: device)
      let groups = [(columns + part.columns - 1) / part.columns, (rows + part.rows - 1) / part.rows, layers]
      let (step, sign) = direction == .forward ? (op.stride, 1) : (1, -1)
      try run(
        "convolution", ConvolutionBlockParameters(block: block), storage: precision,
        WorkSize(groups: groups, local: [1, 1, 1]), y, x, packed, bias ?? packed, residualOrAny, x.shape[0],
        x.shape[1], x.shape[2], x.shape[3], shape[1], shape[2], columns, op.kernel, step, sign,
        -sign * op.leadingPadding, dilation, part.rows, part.columns, bias == nil ? 0 : 1, residualPixels)
    }
    return y
  }
}

extension Convolution {
  /// Whether it is a linear layer over the pixels.
  var isPointwise: Bool { kernel == 1 && stride == 1 && padding == .same }
}
