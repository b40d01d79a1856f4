import Tensors

/// The functions of one number. Backward needs the input alone.
public enum Activation: String, Sendable, Hashable, CaseIterable {
  /// `x σ(x)`, also called swish.
  case silu
  /// `x Φ(x)` with the normal distribution's own Φ, by the error function (Hendrycks and Gimpel, 2016).
  case gelu
  /// The same by its tanh approximation: `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
  case geluTanh
  /// `x σ(1.702 x)`, as OpenAI's CLIP has it.
  case quickGELU
}

extension Activation {
  public struct ForwardCall: OperationCall {
    public static let name: StaticString = "Activation.forward"
    public static let pass = OperationPass.forward
    public let op: Activation
    public let x: TensorDescriptor

    public func results() -> [TensorDescriptor] { [x] }
  }

  public struct BackwardCall: OperationCall {
    public static let name: StaticString = "Activation.backwardInput"
    public static let pass = OperationPass.backward
    public let op: Activation
    public let dy: TensorDescriptor
    public let x: TensorDescriptor

    public func results() throws(OperationError) -> [TensorDescriptor] {
      try require(dy, "dy", is: x)
      return [x]
    }
  }
}
