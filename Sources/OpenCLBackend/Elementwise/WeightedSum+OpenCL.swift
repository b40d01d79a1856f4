import Operators
import Tensors

/// The defines of `sum.cl`: none beside the storage type.
struct SumParameters: KernelParameters {
  static let source = "Elementwise/sum.cl"
  var defines: [KernelDefine] { [] }
  func check(_ limits: DeviceLimits) throws(OperationError) { try limits.check("sum", items: 256, localBytes: 0) }
}

extension OpenCLBackend {
  public func add(_ a: Tensor<OpenCLBuffer>, _ b: Tensor<OpenCLBuffer>) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let y = try allocate(a.shape, a.type)
    try run("add_tensors", SumParameters(), storage: a.type, WorkSize(elements: a.shape.count), y, a, b, a.shape.count)
    return y
  }

  public func forward(_ op: WeightedSum, _ x: Tensor<OpenCLBuffer>, _ z: Tensor<OpenCLBuffer>, as type: ElementType)
    throws(OperationError) -> Tensor<OpenCLBuffer>
  {
    let y = try allocate(x.shape, type)
    try run(
      x.type == .float32 ? "weighted_sum" : "weighted_sum_stored", SumParameters(), storage: type,
      WorkSize(items: x.shape.count),
      y, x, z, try upload(op.a + op.b), x.shape[0], x.shape.count / max(x.shape[0], 1))
    return y
  }
}
