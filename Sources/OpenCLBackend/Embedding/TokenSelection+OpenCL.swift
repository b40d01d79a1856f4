import Operators
import Tensors

/// The defines of `token_selection.cl`: none beside the storage type.
struct TokenSelectionParameters: KernelParameters {
  static let source = "Embedding/token_selection.cl"
  var defines: [KernelDefine] { [] }
  func check(_ limits: DeviceLimits) throws(OperationError) {
    try limits.check("token_selection", items: 256, localBytes: 0)
  }
}

extension OpenCLBackend {
  public func forward(_ op: TokenSelection, _ x: Tensor<OpenCLBuffer>) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let y = try allocate(try op.outputShape(x.shape), x.type)
    try runSelection("token_selection_forward", op, y, x, items: y.shape.count, width: y.shape[1])
    return y
  }

  public func backwardInput(_ op: TokenSelection, _ dy: Tensor<OpenCLBuffer>) throws(OperationError)
    -> Tensor<OpenCLBuffer>
  {
    let dx = try allocate(try op.inputShape(dy.shape), dy.type)
    try runSelection("token_selection_backward_input", op, dx, dy, items: dx.shape.count, width: dy.shape[1])
    return dx
  }

  private func runSelection(
    _ kernel: String, _ op: TokenSelection, _ output: Tensor<OpenCLBuffer>, _ input: Tensor<OpenCLBuffer>, items: Int,
    width: Int
  ) throws(OperationError) {
    try run(
      kernel, TokenSelectionParameters(), storage: input.type, WorkSize(items: items), output, input,
      try upload(op.positions.map(Int32.init)), op.positions.count, op.length, width)
  }
}
