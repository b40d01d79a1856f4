import Operators
import Tensors

extension CPUBackend {
  public func forward(_ op: TokenSelection, _ x: Tensor<CPUStorage>) throws(OperationError) -> Tensor<CPUStorage> {
    let y = try empty(try op.outputShape(x.shape), x.type, "TokenSelection.forward")
    let width = y.shape[1]
    for (prompt, position) in op.positions.enumerated() {
      y.at(prompt * width).copyMemory(
        from: x.at((prompt * op.length + position) * width), byteCount: width * x.type.size)
    }
    return y
  }

  public func backwardInput(_ op: TokenSelection, _ dy: Tensor<CPUStorage>) throws(OperationError) -> Tensor<CPUStorage>
  {
    let dx = try empty(try op.inputShape(dy.shape), dy.type, "TokenSelection.backwardInput")
    let width = dy.shape[1]
    // All bits zero is zero in every type.
    dx.at(0).initializeMemory(as: UInt8.self, repeating: 0, count: dx.byteCount)
    for (prompt, position) in op.positions.enumerated() {
      dx.at((prompt * op.length + position) * width).copyMemory(
        from: dy.at(prompt * width), byteCount: width * dy.type.size)
    }
    return dx
  }
}
