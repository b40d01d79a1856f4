import Foundation
import Operators
import Tensors

extension OpenCLBackend {
  public func forward(_ op: TimestepEmbedding, _ timesteps: [Float]) throws(OperationError) -> Tensor<OpenCLBuffer> {
    try require(
      op.dimension > 0 && op.dimension % 2 == 0, "TimestepEmbedding", "a dimension of \(op.dimension) is not even")
    // A few hundred numbers a sample: the host's double precision costs nothing, and devices differ in how they take the sine
    // of a large angle.
    let half = op.dimension / 2
    var values = [Float](repeating: 0, count: timesteps.count * op.dimension)
    for (sample, timestep) in timesteps.enumerated() {
      for i in 0..<half {
        let frequency = exp(-log(10000.0) * Double(i) / (Double(half) - Double(op.frequencyShift)))
        let angle = Double(timestep) * frequency
        let first = sample * op.dimension + i
        values[first] = Float(op.flipsSineToCosine ? cos(angle) : sin(angle))
        values[first + half] = Float(op.flipsSineToCosine ? sin(angle) : cos(angle))
      }
    }
    return try upload(HostTensor([timesteps.count, op.dimension], values), as: precision)
  }
}
