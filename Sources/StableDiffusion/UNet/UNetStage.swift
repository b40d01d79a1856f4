import Operators
import Tensors

/// A residual block, and behind it, where the level attends to the context, a transformer: what every level is a row
/// of.
struct UNetStage<B: Backend> {
  private let reach: GradientReach
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
  ///   - level: channels to make, heads and transformer blocks.
  init(
    _ scope: WeightScope<B>, _ index: Int, _ configuration: UNetConfiguration, level: UNetConfiguration.Level,
    inputs: Int, attends: Bool, reach: GradientReach
  ) throws {
    self.reach = reach
    resnet = try ResNet(
      scope["resnets.\(index)"].packed(for: reach == .input ? .both : .forward), inputs, level.channels,
      timeWidth: configuration.timeWidth, groups: configuration.groups, epsilon: configuration.epsilon)
    transformer =
      attends
      ? try SpatialTransformer(
        scope["attentions.\(index)"], configuration, channels: level.channels, heads: level.heads,
        blocks: level.transformerBlocks, reach: reach) : nil
  }

  func forward(_ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    if reach == .nothing {
      return (try predict(x, time: time, context: context), Saved(resnet: nil, transformer: nil))
    }
    let (h, resnetSaved) = try resnet.forward(x, time: time)
    let kept = reach == .input ? resnetSaved : nil
    guard let transformer else { return (h, Saved(resnet: kept, transformer: nil)) }
    let (y, transformerSaved) = try transformer.forward(h, context: context)
    return (y, Saved(resnet: kept, transformer: transformerSaved))
  }

  /// Adds the context's gradient to `dContext`.
  ///
  /// - Returns: `dx`, nil where nothing below needs one.
  func backward(_ dy: Tensor<B.Storage>, _ saved: consuming Saved, dContext: inout Tensor<B.Storage>?)
    throws(OperationError) -> Tensor<B.Storage>?
  {
    var dh = dy
    if let transformer, let transformerSaved = saved.transformer {
      guard let dx = try transformer.backward(dh, transformerSaved, dContext: &dContext) else { return nil }
      dh = dx
    }
    guard let resnetSaved = saved.resnet else { return nil }
    return try resnet.backward(dh, resnetSaved)
  }

  func predict(_ x: Tensor<B.Storage>, time: Tensor<B.Storage>, context: Tensor<B.Storage>)
    throws(OperationError) -> Tensor<B.Storage>
  {
    let h = try resnet.forward(x, time: time).y
    return try transformer?.predict(h, context: context) ?? h
  }
}
