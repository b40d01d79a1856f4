import CVectorLoops
import Foundation
import Operators
import Tensors

extension CPUBackend {
  public func update(
    _ op: AdamW, rows: Tensor<CPUStorage>, gradient: Tensor<CPUStorage>, moments: AdamW.Moments<CPUStorage>,
    step: Int, learningRate: Float
  ) throws(OperationError) {
    try requireFloat32("AdamW.update", rows, gradient, moments.first, moments.second)
    for tensor in [gradient, moments.first, moments.second] {
      try requireShape("AdamW.update", tensor, rows.shape)
    }
    try require(step >= 1, "AdamW.update", "step \(step); they count from 1")
    let first = 1 - pow(Double(op.beta1), Double(step))
    let second = 1 - pow(Double(op.beta2), Double(step))
    vector_adamw(
      rows.floats, gradient.floats, moments.first.floats, moments.second.floats, rows.shape.count, op.beta1, op.beta2,
      op.epsilon, Float(1 - Double(learningRate) * Double(op.weightDecay)), Float(Double(learningRate) / first),
      Float(second.squareRoot()))
  }
}
