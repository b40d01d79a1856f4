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
    _ scope: WeightScope<B>, _ configuration: UNetConfiguration, level index: Int, path: inout GradientPath,
    skips: inout SkipPlan
  ) throws {
    let level = configuration.levels[index]
    backend = scope.backend
    var channels = index == configuration.levels.count - 1 ? level.channels : configuration.levels[index + 1].channels
    var stages: [UNetStage<B>] = []
    var inputs: [Input] = []
    for layer in 0...level.layers {
      guard let skip = skips.pop() else {
        throw UserError(.badData, "the UNet's up_blocks ask for more skip connections than its down_blocks make")
      }
      inputs.append(Input(channels: channels, skipTakesGradient: skip.takesGradient))
      stages.append(
        try UNetStage(
          scope, layer, configuration, level: level, inputs: channels + skip.channels, attends: level.attendsUp,
          reach: path.next(attends: level.attendsUp)))
      channels = level.channels
    }
    self.stages = stages
    self.inputs = inputs
    upsample = index > 0 ? try ConvolutionLayer(scope["upsamplers.0.conv"], channels, channels) : nil
  }

  func forward(
    _ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>, skips: inout SkipStack<B.Storage>
  ) throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved) {
    var h = x
    var saved = Saved()
    for stage in stages {
      h = try backend.forward(ConcatenateChannels(), h, skips.pop())
      let stageSaved: UNetStage<B>.Saved
      (h, stageSaved) = try stage.forward(h, time: time, context: context)
      saved.stages.append(stageSaved)
    }
    if let upsample {
      saved.doubling = doubling(of: h.shape, toMeet: skips.nextShape)
      h = try upsample.forward(backend.forward(saved.doubling, h))
    }
    return (h, saved)
  }

  /// Adds the context's gradient to `dContext`, and leaves those of the skips that take one in `dSkips`.
  func backward(
    _ dy: Tensor<B.Storage>, _ saved: consuming Saved, dSkips: inout SkipStack<B.Storage>,
    dContext: inout Tensor<B.Storage>?
  ) throws(OperationError) -> Tensor<B.Storage> {
    var saved = saved
    var dh = dy
    if let upsample { dh = try backend.backwardInput(saved.doubling, upsample.backward(dh)) }
    for (stage, input) in zip(stages, inputs).reversed() {
      guard let dx = try stage.backward(dh, saved.stages.removeLast(), dContext: &dContext) else {
        throw OperationError(.unsupported, "UNet.backward", "the model was not built to be differentiated")
      }
      let dSkip: Tensor<B.Storage>
      (dh, dSkip) = try backend.backwardInput(ConcatenateChannels(), dx, channels: input.channels)
      if input.skipTakesGradient { dSkips.push(dSkip) }
    }
    return dh
  }

  func predict(
    _ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>, skips: inout SkipStack<B.Storage>
  ) throws(OperationError) -> Tensor<B.Storage> {
    var h = x
    for stage in stages {
      h = try stage.predict(
        backend.forward(ConcatenateChannels(), h, skips.pop()), time: time, context: context)
    }
    if let upsample {
      h = try upsample.forward(backend.forward(doubling(of: h.shape, toMeet: skips.nextShape), h))
    }
    return h
  }

  /// Doubles height and width to those of the next skip, which were odd before they were halved where they are one
  /// less.
  private func doubling(of shape: Shape, toMeet skip: Shape?) -> Upsample {
    guard let skip else { return Upsample() }
    return Upsample(trimsHeight: skip[1] < 2 * shape[1], trimsWidth: skip[2] < 2 * shape[2])
  }
}
