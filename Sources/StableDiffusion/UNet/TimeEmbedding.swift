import Operators
import Tensors

/// What every residual block is told, `[batch, timeWidth]`: the timestep, and where the model takes them pooled text and sizes:
///
///     e = linear_2(silu(linear_1(sinusoids(t)))) + added(pooled, sizes)
///     time = silu(e)
///
/// The outer SiLU is the one that every residual block has before its projection, done once. The timestep is given, so backward
/// goes to the pooled text alone.
struct TimeEmbedding<B: Backend> {
  private let backend: B
  private let routes: GradientRoutes
  private let sinusoids: TimestepEmbedding
  private let linear1: LinearLayer<B>
  private let linear2: LinearLayer<B>
  private let added: AddedEmbedding<B>?

  struct Saved: Sendable {
    /// `e`.
    let embedding: Tensor<B.Storage>
    let added: AddedEmbedding<B>.Saved
  }

  /// - Parameter scope: the model's root.
  init(_ scope: WeightScope<B>, _ configuration: UNetConfiguration, plan: inout GradientPlan) throws {
    let channels = configuration.levels[0].channels
    let place = scope["time_embedding"].packed(for: .forward)
    backend = scope.backend
    routes = plan.aside(.time, reading: configuration.added == nil ? [] : [.pooled])
    sinusoids = TimestepEmbedding(
      dimension: channels, flipsSineToCosine: configuration.flipsSineToCosine,
      frequencyShift: configuration.frequencyShift)
    linear1 = try LinearLayer(place["linear_1"], channels, configuration.timeWidth, activation: .silu)
    linear2 = try LinearLayer(
      place["linear_2"], configuration.timeWidth, configuration.timeWidth,
      activation: configuration.added == nil ? .silu : nil)
    let directions = routes.directions
    added = try configuration.added.map {
      try AddedEmbedding(scope["add_embedding"].packed(for: directions), configuration, $0)
    }
  }

  /// - Parameter timesteps: one for each sample of the batch.
  /// - Returns: `saved` is nil where no gradient passes.
  func forward(_ timesteps: [Float], _ conditioning: Conditioning<B.Storage>, keeps: Bool)
    throws(OperationError) -> (time: Tensor<B.Storage>, saved: Saved?)
  {
    let embedding = try linear2.forward(linear1.forward(backend.forward(sinusoids, timesteps)))
    guard let added else { return (embedding, nil) }
    let (sum, addedSaved) = try added.forward(conditioning, residual: embedding)
    let saved = routes.kept(Saved(embedding: sum, added: addedSaved), if: keeps)
    return (try backend.forward(Activation.silu, sum), saved)
  }

  func backward(_ saved: Saved?, _ gradients: inout Gradients<B.Storage>) throws(OperationError) {
    guard let saved, let added else { return }
    let dEmbedding = try backend.backwardInput(Activation.silu, gradients.take(.time), x: saved.embedding)
    try added.backward(dEmbedding, saved.added, &gradients)
  }
}

/// Pooled text and sizes as they are added to the timestep's embedding (Podell et al., "SDXL", 2023):
/// `y = linear_2(silu(linear_1(pooled, sinusoids(sizes)))) + residual`, `[batch, timeWidth]`.
struct AddedEmbedding<B: Backend> {
  private let backend: B
  private let configuration: UNetConfiguration.AddedConditioning
  private let sinusoids: TimestepEmbedding
  private let linear1: LinearLayer<B>
  private let linear2: LinearLayer<B>

  struct Saved: Sendable {
    /// SiLU's input, `[batch, timeWidth]`.
    let hidden: Tensor<B.Storage>
  }

  init(
    _ scope: WeightScope<B>, _ configuration: UNetConfiguration, _ added: UNetConfiguration.AddedConditioning
  ) throws {
    backend = scope.backend
    self.configuration = added
    sinusoids = TimestepEmbedding(
      dimension: added.sizeWidth, flipsSineToCosine: configuration.flipsSineToCosine,
      frequencyShift: configuration.frequencyShift)
    linear1 = try LinearLayer(scope["linear_1"], added.inputs, configuration.timeWidth)
    linear2 = try LinearLayer(scope["linear_2"], configuration.timeWidth, configuration.timeWidth)
  }

  func forward(_ conditioning: Conditioning<B.Storage>, residual: Tensor<B.Storage>)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    guard let pooled = conditioning.pooled, let sizes = conditioning.sizes else {
      throw OperationError(.invalidShape, "UNet.forward", "the model takes pooled text and sizes, and none were given")
    }
    let count = UNetConfiguration.AddedConditioning.sizes
    try require(
      pooled.shape == [residual.shape[0], configuration.pooledWidth] && sizes.count == pooled.shape[0]
        && sizes.allSatisfy { $0.count == count },
      "UNet.forward",
      "pooled text \(pooled.shape) and \(sizes.map(\.count)) sizes for \(residual.shape[0]) samples, rows of "
        + "\(configuration.pooledWidth) and \(count) sizes")
    let waves = try backend.forward(sinusoids, sizes.flatMap { $0 })
      .reshaped([sizes.count, count * configuration.sizeWidth])
    let hidden = try linear1.forward(backend.forward(ConcatenateChannels(), pooled, waves))
    let y = try linear2.forward(backend.forward(Activation.silu, hidden), residual: residual)
    return (y, Saved(hidden: hidden))
  }

  func backward(_ dy: Tensor<B.Storage>, _ saved: Saved, _ gradients: inout Gradients<B.Storage>)
    throws(OperationError)
  {
    let dHidden = try backend.backwardInput(Activation.silu, linear2.backward(dy), x: saved.hidden)
    let dPooled = try backend.backwardInput(
      ConcatenateChannels(), linear1.backward(dHidden), channels: configuration.pooledWidth
    ).a
    try gradients.add(to: .pooled) { sum throws(OperationError) in
      guard let sum else { return dPooled }
      return try backend.add(sum, dPooled)
    }
  }
}
