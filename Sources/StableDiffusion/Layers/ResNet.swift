import Operators
import Tensors

/// A residual block of two convolutions, with the timestep's embedding added between them where there is one:
///
///     h = conv1(silu(norm1(x))) + time_emb_proj(time)
///     y = conv2(silu(norm2(h))) + shortcut(x)
///
/// `x` is `[batch, height, width, inputs]`, `time` is `[batch, timeWidth]`, `y` is `[batch, height, width, outputs]`.
/// The shortcut is a 1x1 convolution where inputs and outputs differ.
struct ResNet<B: Backend> {
  private let backend: B
  private let routes: GradientRoutes
  private let norm1: GroupNormLayer<B>
  private let conv1: ConvolutionLayer<B>
  private let timeProjection: LinearLayer<B>?
  private let norm2: GroupNormLayer<B>
  private let conv2: ConvolutionLayer<B>
  private let shortcut: LinearLayer<B>?

  struct Saved: Sendable {
    /// nil where the gradient ends in the timestep's embedding.
    let norm1: GroupNormLayer<B>.Saved?
    let norm2: GroupNormLayer<B>.Saved
  }

  init(
    _ scope: WeightScope<B>, _ inputs: Int, _ outputs: Int, timeWidth: Int? = nil, groups: Int, epsilon: Float,
    routes: GradientRoutes = .none
  ) throws {
    backend = scope.backend
    self.routes = routes
    let lower = scope.packed(for: routes.inputDirections)
    let upper = scope.packed(for: routes.directions)
    norm1 = try GroupNormLayer(lower["norm1"], inputs, groups: groups, epsilon: epsilon, activation: .silu)
    conv1 = try ConvolutionLayer(lower["conv1"], inputs, outputs)
    timeProjection = try timeWidth.map {
      try LinearLayer(
        scope["time_emb_proj"].packed(for: routes.toNames.contains(.time) ? .both : .forward), $0, outputs)
    }
    norm2 = try GroupNormLayer(upper["norm2"], outputs, groups: groups, epsilon: epsilon, activation: .silu)
    conv2 = try ConvolutionLayer(upper["conv2"], outputs, outputs)
    shortcut =
      inputs == outputs ? nil : try LinearLayer(lower["conv_shortcut"], inputs, outputs, isConvolution: true)
  }

  /// - Parameter keeps: whether a backward pass is to follow.
  /// - Returns: `saved` is nil where no gradient passes.
  func forward(_ x: Tensor<B.Storage>, time: Tensor<B.Storage>? = nil, keeps: Bool = false)
    throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved?)
  {
    var (h, norm1Saved) = try norm1.forward(x)
    var timeResidual: Residual<B.Storage>?
    if let timeProjection, let time { timeResidual = try .channels(timeProjection.forward(time)) }
    h = try conv1.forward(h, residual: timeResidual)
    let norm2Saved: GroupNormLayer<B>.Saved
    (h, norm2Saved) = try norm2.forward(h)
    let saved = routes.kept(Saved(norm1: routes.toInput ? norm1Saved : nil, norm2: norm2Saved), if: keeps)
    let residual = try shortcut?.forward(x) ?? x
    return (try conv2.forward(h, residual: .tensor(residual)), saved)
  }

  func backward(_ saved: Saved, _ gradients: inout Gradients<B.Storage>) throws(OperationError) {
    let dy = gradients.features
    let dh = try norm2.backward(conv2.backward(dy), saved.norm2)
    if let timeProjection, routes.toNames.contains(.time) {
      let dTime = try backend.forward(PixelSum(), dh)
      try gradients.add(to: .time) { sum throws(OperationError) in try timeProjection.backward(dTime, residual: sum) }
    }
    guard let norm1Saved = saved.norm1 else { return }
    gradients.features = try norm1.backward(
      conv1.backward(dh), norm1Saved, residual: shortcut?.backward(dy) ?? dy)
  }
}
