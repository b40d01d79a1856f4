import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  public func add(_ a: Tensor<CPUStorage>, _ b: Tensor<CPUStorage>) throws(OperationError) -> Tensor<CPUStorage> {
    let y = try empty(a.shape, a.type, "add")
    sum(y, a, b)
    return y
  }

  /// `y = a + b`, all of one shape and type; `y` may be one of the others.
  func sum(_ y: Tensor<CPUStorage>, _ a: Tensor<CPUStorage>, _ b: Tensor<CPUStorage>) {
    parallel(y.shape.count, by: elementsPerPiece) { start, length in
      vector_add(y.at(start), a.at(start), b.at(start), y.type.vector, length)
    }
  }

  public func forward(
    _ op: WeightedSum, _ x: Tensor<CPUStorage>, _ z: Tensor<CPUStorage>, as type: ElementType
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let (x, z) = (try widened(x, "WeightedSum.forward"), try widened(z, "WeightedSum.forward"))
    let y = try empty(x.shape, type, "WeightedSum.forward")
    let count = x.shape.count / max(1, x.shape[0])
    for sample in 0..<x.shape[0] {
      parallel(count, by: elementsPerPiece) { start, length in
        let at = sample * count + start
        vector_weighted_sum(
          y.at(at), type.vector, x.floats + at, z.floats + at, op.a[sample], op.b[sample], length)
      }
    }
    return y
  }
}
