import Operators
import Tensors

/// The defines of `activation.cl`.
struct ActivationParameters: KernelParameters {
  static let source = "Elementwise/activation.cl"

  let activation: Activation

  var defines: [KernelDefine] { [Activation.define(activation)] }
  func check(_ limits: DeviceLimits) throws(OperationError) {
    try limits.check("activation", items: 256, localBytes: 0)
  }
}

extension OpenCLBackend {
  public func forward(_ op: Activation, _ x: Tensor<OpenCLBuffer>) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let y = try allocate(x.shape, x.type)
    try run(
      "activation_forward", ActivationParameters(activation: op), storage: x.type, WorkSize(elements: x.shape.count),
      y, x, x.shape.count)
    return y
  }

  public func backwardInput(_ op: Activation, _ dy: Tensor<OpenCLBuffer>, x: Tensor<OpenCLBuffer>)
    throws(OperationError) -> Tensor<OpenCLBuffer>
  {
    let dx = try allocate(x.shape, x.type)
    try run(
      "activation_backward_input", ActivationParameters(activation: op), storage: x.type,
      WorkSize(elements: x.shape.count), dx, dy, x, x.shape.count)
    return dx
  }
}

extension WorkSize {
  /// One axis of items that take eight neighbours each, for kernels over flat tensors.
  init(elements: Int) { self.init(items: (elements + 7) / 8) }
}
