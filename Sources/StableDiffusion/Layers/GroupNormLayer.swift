import Operators
import Tensors

/// Group normalization with a frozen scale and shift, and SiLU behind it where asked for: `x` is `[batch, ...,
/// channels]`.
struct GroupNormLayer<B: Backend> {
  private let backend: B
  private let op: GroupNorm
  private let scale: Tensor<B.Storage>
  private let shift: Tensor<B.Storage>

  struct Saved: Sendable {
    let x: Tensor<B.Storage>
    let statistics: GroupNorm.Saved<B.Storage>
  }

  init(_ scope: WeightScope<B>, _ channels: Int, groups: Int, epsilon: Float, activation: Activation? = nil) throws {
    backend = scope.backend
    op = GroupNorm(groups: groups, epsilon: epsilon, activation: activation)
    scale = try backend.upload(scope.take("weight", [channels]), as: .float32)
    shift = try backend.upload(scope.take("bias", [channels]), as: .float32)
  }

  func forward(_ x: Tensor<B.Storage>) throws(OperationError) -> (y: Tensor<B.Storage>, saved: Saved) {
    let (y, statistics) = try backend.forward(op, x, scale: scale, shift: shift)
    return (y, Saved(x: x, statistics: statistics))
  }

  /// `dx + residual`.
  func backward(_ dy: Tensor<B.Storage>, _ saved: Saved, residual: Tensor<B.Storage>? = nil)
    throws(OperationError) -> Tensor<B.Storage>
  {
    try backend.backwardInput(
      op, dy, x: saved.x, scale: scale, shift: shift, saved: saved.statistics, residual: residual)
  }
}
