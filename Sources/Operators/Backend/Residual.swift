import Tensors

/// What an operation adds to its result before it writes it.
public enum Residual<Storage: Sendable>: Sendable {
  /// A tensor of the result's shape: the residual connection.
  case tensor(Tensor<Storage>)
  /// A tensor `[batch, channels]`, added at every pixel: the timestep's embedding.
  case channels(Tensor<Storage>)

  /// What is added, whatever its shape.
  public var tensor: Tensor<Storage> {
    switch self {
    case .tensor(let tensor), .channels(let tensor): tensor
    }
  }
}
