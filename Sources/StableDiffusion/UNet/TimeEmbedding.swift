import Operators
import Tensors

/// The timestep as the residual blocks take it, `[batch, timeWidth]`: `silu(linear_2(silu(linear_1(sinusoids(t)))))`.
///
/// The outer SiLU is the one that every residual block has before its projection, done once. There is no backward: the
/// timestep is given.
struct TimeEmbedding<B: Backend> {
  private let backend: B
  private let sinusoids: TimestepEmbedding
  private let linear1: LinearLayer<B>
  private let linear2: LinearLayer<B>

  init(_ scope: WeightScope<B>, _ configuration: UNetConfiguration) throws {
    let channels = configuration.levels[0].channels
    let scope = scope.packed(for: .forward)
    backend = scope.backend
    sinusoids = TimestepEmbedding(
      dimension: channels, flipsSineToCosine: configuration.flipsSineToCosine,
      frequencyShift: configuration.frequencyShift)
    linear1 = try LinearLayer(scope["linear_1"], channels, configuration.timeWidth, activation: .silu)
    linear2 = try LinearLayer(scope["linear_2"], configuration.timeWidth, configuration.timeWidth, activation: .silu)
  }

  /// - Parameter timesteps: one for each sample of the batch.
  func predict(_ timesteps: [Float]) throws(OperationError) -> Tensor<B.Storage> {
    try linear2.forward(linear1.forward(backend.forward(sinusoids, timesteps)))
  }
}
