import Tensors

/// Nearest-neighbour upsampling by two: `[batch, height, width, channels]` to `[batch, 2 height, 2 width, channels]`.
///
/// `y[i, j] = x[i / 2, j / 2]`. The way up must meet sizes that were odd before they were halved: the last row or column
/// then is left out, which for nearest neighbours is the same as scaling by slightly less than two. Backward sums the four
/// copies, or what there is of them.
public struct Upsample: Sendable, Hashable {
  /// Whether the result is one row short of twice the height.
  public let trimsHeight: Bool
  /// Whether the result is one column short of twice the width.
  public let trimsWidth: Bool

  public init(trimsHeight: Bool = false, trimsWidth: Bool = false) {
    self.trimsHeight = trimsHeight
    self.trimsWidth = trimsWidth
  }

  public func outputShape(_ x: Shape) throws(OperationError) -> Shape {
    try require(x.rank == 4, "Upsample", "x is \(x), not [batch, height, width, channels]")
    return [x[0], 2 * x[1] - (trimsHeight ? 1 : 0), 2 * x[2] - (trimsWidth ? 1 : 0), x[3]]
  }

  public func inputShape(_ dy: Shape) throws(OperationError) -> Shape {
    try require(
      dy.rank == 4 && (dy[1] % 2 == 1) == trimsHeight && (dy[2] % 2 == 1) == trimsWidth, "Upsample",
      "dy is \(dy), not a result of \(self)")
    return [dy[0], (dy[1] + 1) / 2, (dy[2] + 1) / 2, dy[3]]
  }
}

extension Upsample {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "Upsample.forward"
    public static let pass = OperationPass.forward
    public let op: Upsample
    public let x: TensorDescriptor

    public func results() throws(OperationError) -> [TensorDescriptor] {
      return [TensorDescriptor(try op.outputShape(x.shape), x.type)]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "Upsample.backwardInput"
    public static let pass = OperationPass.backward
    public let op: Upsample
    public let dy: TensorDescriptor

    public func results() throws(OperationError) -> [TensorDescriptor] {
      return [TensorDescriptor(try op.inputShape(dy.shape), dy.type)]
    }
  }
}
