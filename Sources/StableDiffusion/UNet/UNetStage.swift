import Operators
import Tensors

/// A residual block, and behind it, where the level attends to the context, a transformer: what every level is a row
/// of.
struct UNetStage<B: Backend> {
  /// Whether a gradient passes through any of it.
  let takesGradient: Bool
  /// Its number among the model's stages, as forward runs them.
  private let number: Int
  private let resnet: ResNet<B>
  private let transformer: SpatialTransformer<B>?

  typealias Saved = Kept<Input, Pieces>

  struct Input: Sendable {
    let x: Tensor<B.Storage>
    let time: Tensor<B.Storage>
    let context: Tensor<B.Storage>
  }

  struct Pieces: Sendable {
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
    number = plan.nextStage()
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

  func forward(_ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>, keeping: UNetKeeping)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    let input = Input(x: x, time: time, context: context)
    let keeping = keeping[number]
    guard keeping.stage == .input, takesGradient else {
      let (y, pieces) = try run(input, keeping: keeping)
      return (y, .all(pieces))
    }
    return (try run(input, keeping: .nothing).y, .input(input))
  }

  private func run(_ input: Input, keeping: StageKeeping) throws(OperationError) -> (y: Tensor<B.Storage>, Pieces) {
    let (h, resnetSaved) = try resnet.forward(input.x, time: input.time, keeps: keeping.stage != .nothing)
    guard let transformer else { return (h, Pieces(resnet: resnetSaved, transformer: nil)) }
    let (y, transformerSaved) = try transformer.forward(h, context: input.context, keeping: keeping)
    return (y, Pieces(resnet: resnetSaved, transformer: transformerSaved))
  }

  func backward(_ saved: consuming Saved, _ gradients: inout Gradients<B.Storage>) throws(OperationError) {
    let pieces: Pieces
    switch consume saved {
    case .all(let kept): pieces = kept
    case .input(let input): pieces = try run(input, keeping: .all).1
    }
    if let transformer, let transformerSaved = pieces.transformer {
      try transformer.backward(transformerSaved, &gradients)
    }
    if let resnetSaved = pieces.resnet { try resnet.backward(resnetSaved, &gradients) }
  }
}
