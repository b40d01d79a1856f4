import Tensors

/// Nearest-neighbour upsampling by two: `[batch, height, width, channels]` to `[batch, 2 height, 2 width, channels]`.
///
/// Backward sums the four copies.
public struct Upsample: Sendable, Hashable {
  public init() {}

  public func outputShape(_ x: Shape) throws(OperationError) -> Shape {
    try require(x.rank == 4, "Upsample", "x is \(x), not [batch, height, width, channels]")
    return [x[0], 2 * x[1], 2 * x[2], x[3]]
  }

  public func inputShape(_ dy: Shape) throws(OperationError) -> Shape {
    try require(dy.rank == 4 && dy[1] % 2 == 0 && dy[2] % 2 == 0, "Upsample", "dy is \(dy), not of even sides")
    return [dy[0], dy[1] / 2, dy[2] / 2, dy[3]]
  }
}
