import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  public func forward(_ op: Activation, _ x: Tensor<CPUStorage>) throws(OperationError) -> Tensor<CPUStorage> {
    let y = try empty(x.shape, x.type, "Activation.forward")
    parallel(x.shape.count, by: elementsPerPiece) { start, length in
      vector_activate(op.vector, y.at(start), x.at(start), x.type.vector, length)
    }
    return y
  }

  public func backwardInput(
    _ op: Activation, _ dy: Tensor<CPUStorage>, x: Tensor<CPUStorage>
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let dx = try empty(x.shape, x.type, "Activation.backwardInput")
    parallel(x.shape.count, by: elementsPerPiece) { start, length in
      vector_activate_backward(op.vector, dx.at(start), dy.at(start), x.at(start), x.type.vector, length)
    }
    return dx
  }
}

extension Activation {
  /// The function's number among the loops.
  var number: Int32 { Int32(vector.rawValue) }

  fileprivate var vector: vector_activation {
    switch self {
    case .silu: vector_silu
    case .gelu: vector_gelu
    case .geluTanh: vector_gelu_tanh
    case .quickGELU: vector_quick_gelu
    }
  }
}
