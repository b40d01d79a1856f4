import Operators
import Tensors

/// One level of the way up: stages, each over what is below and the last skip side by side, then, except on the first
/// level, nearest-neighbour doubling of height and width, to the next skip's, and a convolution.
struct UpBlock<B: Backend> {
  private let backend: B
  private let stages: [UNetStage<B>]
  private let inputs: [Input]
  private let upsample: ConvolutionLayer<B>?

  /// What a stage's input is put together of.
  private struct Input: Sendable {
    /// Channels that come from below; the skip's stand behind them.
    let channels: Int
    let skipTakesGradient: Bool
  }

  struct Saved: Sendable {
    fileprivate var stages: [UNetStage<B>.Saved] = []
    fileprivate var doubling = Upsample()
  }

  /// - Parameter index: the level, 0 the finest, which comes last on the way up.
  init(
    _ scope: WeightScope<B>, _ configuration: UNetConfiguration, level index: Int, plan: inout GradientPlan,
    skips: inout SkipPlan
  ) throws {
    let level = configuration.levels[index]
    backend = scope.backend
    var channels = index == configuration.levels.count - 1 ? level.channels : configuration.levels[index + 1].channels
    var stages: [UNetStage<B>] = []
    var inputs: [Input] = []
    for layer in level.transformersUp.indices {
      guard let skip = skips.pop() else {
        throw UserError(.badData, "the UNet's up_blocks ask for more skip connections than its down_blocks make")
      }
      inputs.append(Input(channels: channels, skipTakesGradient: skip.takesGradient))
      stages.append(
        try UNetStage(
          scope, layer, configuration, level: level, inputs: channels + skip.channels,
          transformers: level.transformersUp[layer],
          plan: &plan))
      channels = level.channels
    }
    self.stages = stages
    self.inputs = inputs
    upsample =
      index > 0
      ? try ConvolutionLayer(
        scope["upsamplers.0.conv"].packed(for: plan.next().directions), channels, channels) : nil
  }

  func forward(
    _ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>, skips: inout SkipStack<B.Storage>,
    keeping: UNetKeeping
  ) throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved) {
    var h = x
    var saved = Saved()
    for stage in stages {
      h = try backend.forward(ConcatenateChannels(), h, skips.pop())
      let stageSaved: UNetStage<B>.Saved
      (h, stageSaved) = try stage.forward(h, time: time, context: context, keeping: keeping)
      saved.stages.append(stageSaved)
    }
    if let upsample {
      saved.doubling = doubling(of: h.shape, toMeet: skips.nextShape)
      h = try upsample.forward(backend.forward(saved.doubling, h))
    }
    return (h, saved)
  }

  /// To the gradient of the block's input, and to those of the skips that take one.
  func backward(_ saved: consuming Saved, _ gradients: inout Gradients<B.Storage>) throws(OperationError) {
    var saved = saved
    if let upsample {
      gradients.features = try backend.backwardInput(saved.doubling, upsample.backward(gradients.features))
    }
    for (stage, input) in zip(stages, inputs).reversed() {
      try stage.backward(saved.stages.removeLast(), &gradients)
      let dSkip: Tensor<B.Storage>
      (gradients.features, dSkip) = try backend.backwardInput(
        ConcatenateChannels(), gradients.features, channels: input.channels)
      if input.skipTakesGradient { gradients.skips.push(dSkip) }
    }
  }

  /// Doubles height and width to those of the next skip, which were odd before they were halved where they are one
  /// less.
  private func doubling(of shape: Shape, toMeet skip: Shape?) -> Upsample {
    guard let skip else { return Upsample() }
    return Upsample(trimsHeight: skip[1] < 2 * shape[1], trimsWidth: skip[2] < 2 * shape[2])
  }
}
