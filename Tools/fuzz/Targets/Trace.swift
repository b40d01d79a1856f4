import Foundation
import ModelFiles
import StableDiffusion
import Tensors
import TextualInversion

extension FuzzTarget {
  /// A replay trace, held against the smallest models of one and of two text encoders that a trace can be for, and the batches of
  /// its first step.
  static let trace = FuzzTarget("trace") { bytes in
    let url = safetensorsFile(bytes)
    let encoders = [Component.textEncoder, .textEncoder2].map { ReplayTrace.Encoder($0, width: 4, vocabulary: 100) }
    for count in 1...2 {
      expecting {
        let trace = try ReplayTrace(
          url, encoders: Array(encoders.prefix(count)), channels: 4, length: 8,
          schedule: NoiseSchedule(SchedulerConfiguration()))
        for microBatch in 0..<min(trace.accumulation, 4) { _ = try trace.batch(step: 0, microBatch: microBatch) }
      }
    }
  }

  /// A run's checkpoint.
  static let checkpoint = FuzzTarget("checkpoint") { bytes in
    let url = safetensorsFile(bytes)
    let checkpoint = try Checkpoint(url)
    // What was read can be written, and says the same again.
    try checkpoint.write(to: url)
    let again = try Checkpoint(url)
    precondition(
      again.settings == checkpoint.settings
        && again.state.parameters.mapValues(\.shape) == checkpoint.state.parameters.mapValues(\.shape))
  }
}
