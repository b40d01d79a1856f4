import Tensors

/// One token's vector of each prompt: `[batch, length, width]` to `[batch, width]`, `y[i] = x[i, positions[i]]`.
///
/// Backward gives the token its gradient and every other one zero.
public struct TokenSelection: Sendable, Hashable {
  /// Where each prompt's token stands.
  public let positions: [Int]
  /// The prompts' length, which backward makes again.
  public let length: Int

  public init(positions: [Int], length: Int) {
    self.positions = positions
    self.length = length
  }

  public func outputShape(_ x: Shape) throws(OperationError) -> Shape {
    try require(
      x.rank == 3 && x[0] == positions.count && x[1] == length && positions.allSatisfy { (0..<length).contains($0) },
      "TokenSelection", "tokens \(positions) of \(x), prompts of \(length)")
    return [x[0], x[2]]
  }

  public func inputShape(_ dy: Shape) throws(OperationError) -> Shape {
    try require(dy.rank == 2, "TokenSelection", "dy is \(dy), not [batch, width]")
    let shape: Shape = [dy[0], length, dy[1]]
    _ = try outputShape(shape)
    return shape
  }
}

extension TokenSelection {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "TokenSelection.forward"
    public static let pass = OperationPass.forward
    public let op: TokenSelection
    public let x: TensorDescriptor

    public func results() throws(OperationError) -> [TensorDescriptor] {
      return [TensorDescriptor(try op.outputShape(x.shape), x.type)]
    }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "TokenSelection.backwardInput"
    public static let pass = OperationPass.backward
    public let op: TokenSelection
    public let dy: TensorDescriptor

    public func results() throws(OperationError) -> [TensorDescriptor] {
      return [TensorDescriptor(try op.inputShape(dy.shape), dy.type)]
    }
  }
}
