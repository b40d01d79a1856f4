import Operators
import Tensors

/// Transformer blocks over the pixels of a feature map `[batch, height, width, channels]`:
///
///     h = proj_in(norm(x))        seen as [batch, height * width, channels]: NHWC needs no reordering
///     h = block(h, context), block after block
///     y = proj_out(h) + x
struct SpatialTransformer<B: Backend> {
  private let reach: GradientReach
  private let norm: GroupNormLayer<B>
  private let projectIn: LinearLayer<B>
  private let blocks: [TransformerBlock<B>]
  private let projectOut: LinearLayer<B>

  struct Saved: Sendable {
    /// nil where no gradient passes.
    let norm: GroupNormLayer<B>.Saved?
    var blocks: [TransformerBlock<B>.Saved]
  }

  init(
    _ scope: WeightScope<B>, _ configuration: UNetConfiguration, channels: Int, heads: Int, blocks count: Int,
    reach: GradientReach
  ) throws {
    let isConvolution = !configuration.usesLinearProjection
    let below = scope.packed(for: reach == .input ? .both : .forward)
    let above = scope.packed(for: reach == .nothing ? .forward : .both)
    self.reach = reach
    norm = try GroupNormLayer(below["norm"], channels, groups: configuration.groups, epsilon: 1e-6)
    projectIn = try LinearLayer(below["proj_in"], channels, channels, isConvolution: isConvolution)
    blocks = try (0..<count).map { index in
      try TransformerBlock(
        scope["transformer_blocks.\(index)"], width: channels, heads: heads, contextWidth: configuration.contextWidth,
        // Above the first block's cross-attention the gradient passes through.
        reach: reach == .context && index > 0 ? .input : reach)
    }
    projectOut = try LinearLayer(above["proj_out"], channels, channels, isConvolution: isConvolution)
  }

  func forward(_ x: Tensor<B.Storage>, context: Tensor<B.Storage>)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved)
  {
    var (h, normSaved) = try norm.forward(x)
    h = try projectIn.forward(h.reshaped([x.shape[0], x.shape[1] * x.shape[2], x.shape[3]]))
    var blocksSaved: [TransformerBlock<B>.Saved] = []
    for block in blocks {
      let saved: TransformerBlock<B>.Saved
      (h, saved) = try block.forward(h, context: context)
      blocksSaved.append(saved)
    }
    let y = try projectOut.forward(h.reshaped(x.shape), residual: x)
    return (y, Saved(norm: reach == .input ? normSaved : nil, blocks: blocksSaved))
  }

  /// Adds the context's gradient to `dContext`.
  ///
  /// - Returns: `dx`, nil where nothing below needs one.
  func backward(_ dy: Tensor<B.Storage>, _ saved: consuming Saved, dContext: inout Tensor<B.Storage>?)
    throws(OperationError) -> Tensor<B.Storage>?
  {
    var saved = saved
    let shape = dy.shape
    var dh = try projectOut.backward(dy).reshaped([shape[0], shape[1] * shape[2], shape[3]])
    for block in blocks.reversed() {
      guard let dx = try block.backward(dh, saved.blocks.removeLast(), dContext: &dContext) else { return nil }
      dh = dx
    }
    guard let normSaved = saved.norm else { return nil }
    return try norm.backward(projectIn.backward(dh).reshaped(shape), normSaved, residual: dy)
  }

  func predict(_ x: Tensor<B.Storage>, context: Tensor<B.Storage>) throws(OperationError) -> Tensor<B.Storage> {
    var h = try norm.forward(x).y
    h = try projectIn.forward(h.reshaped([x.shape[0], x.shape[1] * x.shape[2], x.shape[3]]))
    for block in blocks { h = try block.forward(h, context: context).y }
    return try projectOut.forward(h.reshaped(x.shape), residual: x)
  }
}
