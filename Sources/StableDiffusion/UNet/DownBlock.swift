import Operators
import Tensors

/// One level of the way down: stages, then a convolution that halves height and width, except on the last level.
/// Each of them leaves its result as a skip connection.
struct DownBlock<B: Backend> {
  private let backend: B
  private let stages: [UNetStage<B>]
  private let downsample: ConvolutionLayer<B>?
  /// Whether a gradient goes through `downsample`.
  private let downsampleTakesGradient: Bool

  struct Saved: Sendable {
    fileprivate var stages: [UNetStage<B>.Saved] = []
    fileprivate var downsampleInput: Shape?
  }

  init(
    _ scope: WeightScope<B>, _ configuration: UNetConfiguration, level index: Int, plan: inout GradientPlan,
    skips: inout SkipPlan
  ) throws {
    let level = configuration.levels[index]
    backend = scope.backend
    var inputs = index == 0 ? level.channels : configuration.levels[index - 1].channels
    var stages: [UNetStage<B>] = []
    for layer in level.transformersDown.indices {
      stages.append(
        try UNetStage(
          scope, layer, configuration, level: level, inputs: inputs, transformers: level.transformersDown[layer],
          plan: &plan))
      skips.push(channels: level.channels, takesGradient: plan.resultTakesGradient)
      inputs = level.channels
    }
    self.stages = stages
    if index < configuration.levels.count - 1 {
      let routes = plan.next()
      downsampleTakesGradient = routes.toInput
      downsample = try ConvolutionLayer(
        scope["downsamplers.0.conv"].packed(for: routes.directions), level.channels, level.channels, stride: 2)
      skips.push(channels: level.channels, takesGradient: routes.toInput)
    } else {
      downsampleTakesGradient = false
      downsample = nil
    }
  }

  func forward(
    _ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>, skips: inout SkipStack<B.Storage>,
    keeping: UNetKeeping
  ) throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved) {
    var h = x
    var saved = Saved()
    for stage in stages {
      let stageSaved: UNetStage<B>.Saved
      (h, stageSaved) = try stage.forward(h, time: time, context: context, keeping: keeping)
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

  /// From the gradient of the block's result, beside what comes by its skip, to that of its input, beside what comes by the
  /// skip below.
  func backward(_ saved: consuming Saved, _ gradients: inout Gradients<B.Storage>) throws(OperationError) {
    var saved = saved
    if let downsample, downsampleTakesGradient {
      gradients.features = try backend.add(gradients.features, gradients.skips.pop())
      gradients.features = try downsample.backward(gradients.features, inputShape: saved.downsampleInput)
    }
    for stage in stages.reversed() where stage.takesGradient {
      gradients.features = try backend.add(gradients.features, gradients.skips.pop())
      try stage.backward(saved.stages.removeLast(), &gradients)
    }
  }
}
