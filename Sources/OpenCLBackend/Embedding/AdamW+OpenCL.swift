import Foundation
import Operators
import Tensors

/// The defines of `adamw.cl`: none.
struct AdamWParameters: KernelParameters {
  static let source = "Embedding/adamw.cl"
  var defines: [KernelDefine] { [] }
  func check(_ limits: DeviceLimits) throws(OperationError) { try limits.check("adamw", items: 256, localBytes: 0) }
}

extension OpenCLBackend {
  public func update(
    _ op: AdamW, rows: Tensor<OpenCLBuffer>, gradient: Tensor<OpenCLBuffer>, moments: AdamW.Moments<OpenCLBuffer>,
    step: Int, learningRate: Float
  ) throws(OperationError) {
    try require(rows.type == .float32 && step >= 1, "AdamW", "rows of \(rows.type.rawValue), step \(step)")
    try requireLike(rows, "AdamW", gradient, moments.first, moments.second)
    let beta1 = Double(op.beta1)
    let beta2 = Double(op.beta2)
    let stepSize = Double(learningRate) / (1 - pow(beta1, Double(step)))
    let correction = (1 - pow(beta2, Double(step))).squareRoot()
    try run(
      "adamw_update", AdamWParameters(), storage: .float32, WorkSize(items: rows.shape.count),
      rows, moments.first, moments.second, gradient, Float(1 - Double(learningRate) * Double(op.weightDecay)),
      Float(1 - beta1), op.beta2, Float(1 - beta2), Float(stepSize), Float(correction), op.epsilon, rows.shape.count)
  }
}
