import Operators
import Tensors

/// The skip connections while the model is built: what the way down leaves for the way up, last in, first out.
struct SkipPlan {
  /// One skip: its channels, and whether a gradient is to go down it.
  struct Skip {
    let channels: Int
    let takesGradient: Bool
  }

  private var skips: [Skip] = []

  mutating func push(channels: Int, takesGradient: Bool) {
    skips.append(Skip(channels: channels, takesGradient: takesGradient))
  }

  /// nil when the way down left too few: the configuration's levels do not match.
  mutating func pop() -> Skip? { skips.popLast() }
}

/// A stack of feature maps that the two ways hand each other: skips on the way forward, their gradients on the way
/// back.
struct SkipStack<Storage: Sendable>: Sendable {
  private var tensors: [Tensor<Storage>] = []

  /// The shape of what `pop` would give next.
  var nextShape: Shape? { tensors.last?.shape }

  mutating func push(_ tensor: Tensor<Storage>) { tensors.append(tensor) }

  mutating func pop() throws(OperationError) -> Tensor<Storage> {
    guard let last = tensors.popLast() else {
      throw OperationError(.invalidShape, "UNet", "more skip connections are taken than were left")
    }
    return last
  }
}
