import ModelFiles
import Operators
import Tensors

/// Stable Diffusion's UNet (Rombach et al., "High-resolution image synthesis with latent diffusion models", 2022):
/// noisy latents, their timesteps and a conditioning to the noise in them (or the velocity).
///
///     h = conv_in(sample)
///     h = down(h), level after level, each leaving skip connections       half the size, rounded up, a level
///     h = middle(h)
///     h = up(h, skips), level after level
///     prediction = conv_out(silu(norm(h)))
///
/// Backward goes to what is trained through it alone: weights are frozen and latents are given, so below the first
/// layer that reads some of it nothing is differentiated, kept or packed for it (`GradientPlan`).
public struct UNet<B: Backend> {
  public let configuration: UNetConfiguration

  private let gradientNames: Set<GradientName>
  private let timeEmbedding: TimeEmbedding<B>
  private let convIn: ConvolutionLayer<B>
  private let downBlocks: [DownBlock<B>]
  private let middleBlock: MiddleBlock<B>
  private let upBlocks: [UpBlock<B>]
  private let normOut: GroupNormLayer<B>
  private let convOut: ConvolutionLayer<B>

  /// What backward needs: the inputs of everything that is not linear. Backward gives it back piece by piece, if it is
  /// handed the only copy (`consume saved`).
  public struct Saved: Sendable {
    fileprivate var time: TimeEmbedding<B>.Saved?
    fileprivate var downBlocks: [DownBlock<B>.Saved] = []
    fileprivate var middleBlock: [MiddleBlock<B>.Saved] = []
    fileprivate var upBlocks: [UpBlock<B>.Saved] = []
    fileprivate var normOut: [GroupNormLayer<B>.Saved] = []
  }

  /// - Parameters:
  ///   - weights: tensors named as in diffusers' `UNet2DConditionModel`.
  ///   - gradients: what `backward` is going to be asked for, `TextEncoders.gradientNames` where words are trained; with
  ///     none, there is no `backward`, and the weights are packed once.
  public init(
    _ backend: B, _ configuration: UNetConfiguration, weights: some WeightSource,
    gradients: Set<GradientName> = []
  ) throws {
    try configuration.check()
    self.configuration = configuration
    gradientNames = gradients
    let levels = configuration.levels
    var plan = GradientPlan(for: gradients)
    let scope = WeightScope(backend, weights, directions: .forward)
    var skips = SkipPlan()

    timeEmbedding = try TimeEmbedding(scope, configuration, plan: &plan)
    convIn = try ConvolutionLayer(scope["conv_in"], configuration.inputChannels, levels[0].channels)
    skips.push(channels: levels[0].channels, takesGradient: false)
    var downBlocks: [DownBlock<B>] = []
    for level in levels.indices {
      downBlocks.append(
        try DownBlock(scope["down_blocks.\(level)"], configuration, level: level, plan: &plan, skips: &skips))
    }
    self.downBlocks = downBlocks
    middleBlock = try MiddleBlock(scope["mid_block"], configuration, plan: &plan)
    var upBlocks: [UpBlock<B>] = []
    for level in levels.indices.reversed() {
      upBlocks.append(
        try UpBlock(
          scope["up_blocks.\(upBlocks.count)"], configuration, level: level, plan: &plan, skips: &skips))
    }
    self.upBlocks = upBlocks
    let last = scope.packed(for: plan.next().directions)
    normOut = try GroupNormLayer(
      last["conv_norm_out"], levels[0].channels, groups: configuration.groups, epsilon: configuration.epsilon,
      activation: .silu)
    convOut = try ConvolutionLayer(last["conv_out"], levels[0].channels, configuration.outputChannels)
    try weights.finish()
  }

  /// - Parameters:
  ///   - sample: noisy latents, `[batch, height, width, channels]`, in the backend's precision, of any height and
  ///     width.
  ///   - timesteps: one for each sample.
  ///   - conditioning: the text encoders' result.
  ///   - keeping: what is kept for `backward`; with `nothing` there is none.
  /// - Returns: the prediction, of the sample's shape.
  public func forward(
    _ sample: Tensor<B.Storage>, timesteps: [Float], conditioning: Conditioning<B.Storage>,
    keeping: UNetKeeping = .all
  ) throws(OperationError) -> (prediction: Tensor<B.Storage>, saved: Saved) {
    try check(sample.shape, timesteps, conditioning)
    let keeps = keeping != .nothing
    let context = conditioning.context
    var saved = Saved()
    let time: Tensor<B.Storage>
    (time, saved.time) = try timeEmbedding.forward(timesteps, conditioning, keeps: keeps)
    var skips = SkipStack<B.Storage>()
    var h = try convIn.forward(sample)
    skips.push(h)
    for block in downBlocks {
      let blockSaved: DownBlock<B>.Saved
      (h, blockSaved) = try block.forward(h, time: time, context: context, skips: &skips, keeping: keeping)
      saved.downBlocks.append(blockSaved)
    }
    let middleSaved: MiddleBlock<B>.Saved
    (h, middleSaved) = try middleBlock.forward(h, time: time, context: context, keeping: keeping)
    saved.middleBlock.append(middleSaved)
    for block in upBlocks {
      let blockSaved: UpBlock<B>.Saved
      (h, blockSaved) = try block.forward(h, time: time, context: context, skips: &skips, keeping: keeping)
      saved.upBlocks.append(blockSaved)
    }
    let normSaved: GroupNormLayer<B>.Saved
    (h, normSaved) = try normOut.forward(h)
    if keeps && !gradientNames.isEmpty { saved.normOut.append(normSaved) }
    return (try convOut.forward(h), saved)
  }

  /// The conditioning's gradients, those that the model was built for.
  ///
  /// - Parameter dPrediction: of the prediction's shape.
  public func backward(_ dPrediction: Tensor<B.Storage>, _ saved: consuming Saved)
    throws(OperationError) -> ConditioningGradient<B.Storage>
  {
    guard !gradientNames.isEmpty else {
      throw OperationError(.unsupported, "UNet.backward", "the model was not built to be differentiated")
    }
    var saved = saved
    var gradients = Gradients(try normOut.backward(convOut.backward(dPrediction), saved.normOut.removeLast()))
    for block in upBlocks.reversed() { try block.backward(saved.upBlocks.removeLast(), &gradients) }
    try middleBlock.backward(saved.middleBlock.removeLast(), &gradients)
    for block in downBlocks.reversed() { try block.backward(saved.downBlocks.removeLast(), &gradients) }
    try timeEmbedding.backward(saved.time, &gradients)
    return ConditioningGradient(
      context: try gradients.take(.context),
      pooled: gradientNames.contains(.pooled) ? try gradients.take(.pooled) : nil)
  }

  private func check(_ sample: Shape, _ timesteps: [Float], _ conditioning: Conditioning<B.Storage>)
    throws(OperationError)
  {
    let context = conditioning.context.shape
    try require(
      sample.rank == 4 && sample.channels == configuration.inputChannels && sample[0] == timesteps.count,
      "UNet.forward",
      "sample \(sample) for \(timesteps.count) timesteps and \(configuration.inputChannels) channels")
    try require(
      context.rank == 3 && context.channels == configuration.contextWidth && context[0] == sample[0], "UNet.forward",
      "context \(context) for sample \(sample) and rows of \(configuration.contextWidth)")
  }
}
