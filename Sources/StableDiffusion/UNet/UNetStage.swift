import Operators
import Tensors

/// A residual block, and behind it, where the level attends to the context, a transformer: what every level is a row
/// of.
struct UNetStage<B: Backend> {
  /// Whether a gradient passes through any of it.
  let takesGradient: Bool
  private let resnet: ResNet<B>
  private let transformer: SpatialTransformer<B>?

  struct Saved: Sendable {
    /// nil where no gradient passes.
    let resnet: ResNet<B>.Saved?
    let transformer: SpatialTransformer<B>.Saved?
  }

  /// - Parameters:
  ///   - scope: the block that holds `resnets` and `attentions`.
  ///   - index: which of them are this stage's.
  ///   - level: channels to make, and heads.
  ///   - transformers: how many transformer blocks stand behind the residual block; none where the level does not attend.
  init(
    _ scope: WeightScope<B>, _ index: Int, _ configuration: UNetConfiguration, level: UNetConfiguration.Level,
    inputs: Int, transformers: Int, plan: inout GradientPlan
  ) throws {
    resnet = try ResNet(
      scope["resnets.\(index)"], inputs, level.channels, timeWidth: configuration.timeWidth,
      groups: configuration.groups, epsilon: configuration.epsilon, routes: plan.next(reading: [.time]))
    transformer =
      transformers > 0
      ? try SpatialTransformer(
        scope["attentions.\(index)"], configuration, channels: level.channels, heads: level.heads,
        blocks: transformers, plan: &plan) : nil
    takesGradient = plan.resultTakesGradient
  }

  func forward(_ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>, keeps: Bool)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    let (h, resnetSaved) = try resnet.forward(x, time: time, keeps: keeps)
    guard let transformer else { return (h, Saved(resnet: resnetSaved, transformer: nil)) }
    let (y, transformerSaved) = try transformer.forward(h, context: context, keeps: keeps)
    return (y, Saved(resnet: resnetSaved, transformer: transformerSaved))
  }

  func backward(_ saved: consuming Saved, _ gradients: inout Gradients<B.Storage>) throws(OperationError) {
    if let transformer, let transformerSaved = saved.transformer {
      try transformer.backward(transformerSaved, &gradients)
    }
    if let resnetSaved = saved.resnet { try resnet.backward(resnetSaved, &gradients) }
  }
}
