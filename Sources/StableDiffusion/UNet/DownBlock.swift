import Operators
import Tensors

/// One level of the way down: stages, then a convolution that halves height and width, except on the last level.
/// Each of them leaves its result as a skip connection.
struct DownBlock<B: Backend> {
  private let backend: B
  private let stages: [UNetStage<B>]
  private let downsample: ConvolutionLayer<B>?
  /// Whether a gradient goes through `downsample`: whether a cross-attention lies below it.
  private let downsampleTakesGradient: Bool

  struct Saved: Sendable {
    fileprivate var stages: [UNetStage<B>.Saved] = []
    fileprivate var downsampleInput: Shape?
  }

  init(
    _ scope: WeightScope<B>, _ configuration: UNetConfiguration, level index: Int, path: inout GradientPath,
    skips: inout SkipPlan
  ) throws {
    let level = configuration.levels[index]
    backend = scope.backend
    var inputs = index == 0 ? level.channels : configuration.levels[index - 1].channels
    var stages: [UNetStage<B>] = []
    for layer in 0..<level.layers {
      let reach = path.next(attends: level.attendsDown)
      stages.append(
        try UNetStage(
          scope, layer, configuration, level: level, inputs: inputs, attends: level.attendsDown, reach: reach))
      skips.push(channels: level.channels, takesGradient: path.inputTakesGradient)
      inputs = level.channels
    }
    self.stages = stages
    downsampleTakesGradient = path.inputTakesGradient
    if index < configuration.levels.count - 1 {
      downsample = try ConvolutionLayer(
        scope["downsamplers.0.conv"].packed(for: downsampleTakesGradient ? .both : .forward), level.channels,
        level.channels, stride: 2)
      skips.push(channels: level.channels, takesGradient: downsampleTakesGradient)
    } else {
      downsample = nil
    }
  }

  func forward(
    _ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>, skips: inout SkipStack<B.Storage>
  ) throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved) {
    var h = x
    var saved = Saved()
    for stage in stages {
      let stageSaved: UNetStage<B>.Saved
      (h, stageSaved) = try stage.forward(h, time: time, context: context)
      saved.stages.append(stageSaved)
      skips.push(h)
    }
    if let downsample {
      saved.downsampleInput = h.shape
      h = try downsample.forward(h)
      skips.push(h)
    }
    return (h, saved)
  }

  /// Adds the context's gradient to `dContext`; `dSkips` holds the gradients of the skips that take one.
  ///
  /// - Parameter dy: the gradient of the block's result beside what comes by its skip.
  /// - Returns: `dx` beside what comes by the skip below, nil where nothing below needs one.
  func backward(
    _ dy: Tensor<B.Storage>, _ saved: consuming Saved, dSkips: inout SkipStack<B.Storage>,
    dContext: inout Tensor<B.Storage>?
  ) throws(OperationError) -> Tensor<B.Storage>? {
    var saved = saved
    var dh = dy
    if let downsample {
      guard downsampleTakesGradient else { return nil }
      dh = try downsample.backward(backend.add(dh, dSkips.pop()), inputShape: saved.downsampleInput)
    }
    for stage in stages.reversed() {
      dh = try backend.add(dh, dSkips.pop())
      guard let dx = try stage.backward(dh, saved.stages.removeLast(), dContext: &dContext) else { return nil }
      dh = dx
    }
    return dh
  }

  func predict(
    _ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>, skips: inout SkipStack<B.Storage>
  ) throws(OperationError) -> Tensor<B.Storage> {
    var h = x
    for stage in stages {
      h = try stage.predict(h, time: time, context: context)
      skips.push(h)
    }
    if let downsample {
      h = try downsample.forward(h)
      skips.push(h)
    }
    return h
  }
}
