import Operators
import Tensors

/// Everything a training step draws: what makes a run's numbers beside the rows themselves.
public struct Batch: Sendable {
  /// Scaled latents before noise, `[batch, height, width, 4]`.
  public let latents: HostTensor
  /// Standard normal noise of the same shape.
  public let noise: HostTensor
  /// One timestep a sample, below the schedule's length.
  public var timesteps: [Int]
  /// The prompts as each text encoder reads them, one a sample.
  public let tokens: [TokenBatch]
  /// How each sample's picture was cut, for a model that is told.
  public let cuts: [PictureCut]
  /// What each place counts in the loss, `[batch, height, width, 1]`: the loss is the mean of weight times error over all elements.
  /// Nil where all count 1.
  public let weights: HostTensor?
  /// What the prediction is led away from; nil where it is taken as it is.
  public let negative: NegativePrompts?

  public init(
    latents: HostTensor, noise: HostTensor, timesteps: [Int], tokens: [TokenBatch], cuts: [PictureCut] = [],
    weights: HostTensor? = nil, negative: NegativePrompts? = nil
  ) {
    self.latents = latents
    self.noise = noise
    self.timesteps = timesteps
    self.tokens = tokens
    self.cuts = cuts
    self.weights = weights
    self.negative = negative
  }
}

/// Prompts that a batch's predictions are led away from, as classifier-free guidance does it when pictures are drawn:
/// `n + guidance (p - n)` of the predictions for its own prompts, p, and for these, n. So a word and its opposite learn in the part
/// that each will have (Dong et al., "DreamArtist", 2022, arXiv 2211.11337, section 3.2).
public struct NegativePrompts: Sendable {
  /// As each text encoder reads them, one a sample.
  public let tokens: [TokenBatch]
  public let guidance: Float

  public init(tokens: [TokenBatch], guidance: Float) {
    self.tokens = tokens
    self.guidance = guidance
  }
}

/// Where batches come from: a concept's pictures, or a trace to replay.
public protocol BatchSource: Sendable {
  /// Micro-batch `microBatch` of optimizer step `step` (both from 0), a function of the two numbers alone.
  func batch(step: Int, microBatch: Int) throws -> Batch
}
