import Foundation
import Operators
import Tensors

extension CPUBackend {
  /// A few hundred numbers a step: computed in double precision.
  public func forward(
    _ op: TimestepEmbedding, _ timesteps: [Float]
  ) throws(OperationError) -> Tensor<CPUStorage> {
    try require(
      op.dimension > 0 && op.dimension % 2 == 0, "TimestepEmbedding.forward", "a dimension of \(op.dimension)")
    let half = op.dimension / 2
    var values: [Float] = []
    for timestep in timesteps {
      let angles = (0..<half).map { index in
        Double(timestep) * exp(-log(10000) * Double(index) / (Double(half) - Double(op.frequencyShift)))
      }
      let sines = angles.map { Float(sin($0)) }
      let cosines = angles.map { Float(cos($0)) }
      values += op.flipsSineToCosine ? cosines + sines : sines + cosines
    }
    return try upload(HostTensor([timesteps.count, op.dimension], values), as: precision)
  }
}
