import Operators
import Tensors

/// Transformer blocks over the pixels of a feature map `[batch, height, width, channels]`:
///
///     h = proj_in(norm(x))        seen as [batch, height * width, channels]: NHWC needs no reordering
///     h = block(h, context), block after block
///     y = proj_out(h) + x
struct SpatialTransformer<B: Backend> {
  private let below: GradientRoutes
  private let norm: GroupNormLayer<B>
  private let projectIn: LinearLayer<B>
  private let blocks: [TransformerBlock<B>]
  private let projectOut: LinearLayer<B>

  struct Saved: Sendable {
    /// nil where no gradient passes.
    fileprivate let norm: GroupNormLayer<B>.Saved?
    fileprivate var blocks: [TransformerBlock<B>.Saved]
  }

  init(
    _ scope: WeightScope<B>, _ configuration: UNetConfiguration, channels: Int, heads: Int, blocks count: Int,
    plan: inout GradientPlan
  ) throws {
    let isConvolution = !configuration.usesLinearProjection
    below = plan.next()
    let lower = scope.packed(for: below.directions)
    norm = try GroupNormLayer(lower["norm"], channels, groups: configuration.groups, epsilon: 1e-6)
    projectIn = try LinearLayer(lower["proj_in"], channels, channels, isConvolution: isConvolution)
    var blocks: [TransformerBlock<B>] = []
    for index in 0..<count {
      blocks.append(
        try TransformerBlock(
          scope["transformer_blocks.\(index)"], width: channels, heads: heads, contextWidth: configuration.contextWidth,
          plan: &plan))
    }
    self.blocks = blocks
    projectOut = try LinearLayer(
      scope.packed(for: plan.next().directions)["proj_out"], channels, channels, isConvolution: isConvolution)
  }

  func forward(_ x: Tensor<B.Storage>, context: Tensor<B.Storage>, keeping: StageKeeping)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    var (h, normSaved) = try norm.forward(x)
    var saved = Saved(norm: below.kept(normSaved, if: keeping.stage != .nothing), blocks: [])
    h = try projectIn.forward(h.reshaped([x.shape[0], x.shape[1] * x.shape[2], x.shape[3]]))
    for block in blocks {
      let blockSaved: TransformerBlock<B>.Saved
      (h, blockSaved) = try block.forward(h, context: context, keeping: keeping)
      saved.blocks.append(blockSaved)
    }
    return (try projectOut.forward(h.reshaped(x.shape), residual: x), saved)
  }

  func backward(_ saved: consuming Saved, _ gradients: inout Gradients<B.Storage>) throws(OperationError) {
    var saved = saved
    let dy = gradients.features
    let shape = dy.shape
    gradients.features = try projectOut.backward(dy).reshaped([shape[0], shape[1] * shape[2], shape[3]])
    for block in blocks.reversed() { try block.backward(saved.blocks.removeLast(), &gradients) }
    guard let normSaved = saved.norm else { return }
    gradients.features = try norm.backward(
      projectIn.backward(gradients.features).reshaped(shape), normSaved, residual: dy)
  }
}
