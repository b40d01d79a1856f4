import Operators
import Tensors

/// The coarsest level's middle: a residual block, a transformer, a residual block.
struct MiddleBlock<B: Backend> {
  private let first: UNetStage<B>
  private let second: UNetStage<B>

  struct Saved: Sendable {
    fileprivate let first: UNetStage<B>.Saved
    fileprivate let second: UNetStage<B>.Saved
  }

  init(_ scope: WeightScope<B>, _ configuration: UNetConfiguration, plan: inout GradientPlan) throws {
    let level = configuration.levels[configuration.levels.count - 1]
    first = try UNetStage(
      scope, 0, configuration, level: level, inputs: level.channels, transformers: configuration.middleTransformers,
      plan: &plan)
    second = try UNetStage(
      scope, 1, configuration, level: level, inputs: level.channels, transformers: 0, plan: &plan)
  }

  func forward(_ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>, keeping: UNetKeeping)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    let (h, firstSaved) = try first.forward(x, time: time, context: context, keeping: keeping)
    let (y, secondSaved) = try second.forward(h, time: time, context: context, keeping: keeping)
    return (y, Saved(first: firstSaved, second: secondSaved))
  }

  func backward(_ saved: consuming Saved, _ gradients: inout Gradients<B.Storage>) throws(OperationError) {
    try second.backward(saved.second, &gradients)
    try first.backward(saved.first, &gradients)
  }
}
