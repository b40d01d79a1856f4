import Tensors

/// What a run draws random numbers for; each has a stream of its own, so that one more draw here moves none there.
public enum RandomStream: UInt32, Sendable {
  case pictureOrder = 1
  case flips
  case posterior
  case prompts
  case timesteps
  case noise
  case initialLatents
  case noiseOffset
  case bucketOrder = 16
  case crops
  case captions = 32

  /// The stream's generator for step `step` of the run with seed `seed`.
  func generator(seed: UInt64, step: Int = 0) -> Philox {
    Philox(seed: seed, stream: rawValue, step: UInt32(truncatingIfNeeded: step))
  }
}
