import Operators
import Tensors

/// Gradients on their way back through a model.
struct Gradients<Storage: Sendable> {
  /// Of the feature map between two layers: a layer finds that of its result here and leaves that of its input, where it
  /// has one.
  var features: Tensor<Storage>
  /// Of the skip connections that take one, from the way up for the way down.
  var skips = SkipStack<Storage>()
  private var sums: [GradientName: Tensor<Storage>] = [:]

  init(_ features: Tensor<Storage>) { self.features = features }

  /// Adds a layer's share to the gradient of `name`.
  ///
  /// - Parameter sum: makes the share and adds to it what is there already, nil at first: products do so as they write.
  mutating func add(
    to name: GradientName, _ sum: (Tensor<Storage>?) throws(OperationError) -> Tensor<Storage>
  ) throws(OperationError) {
    sums[name] = try sum(sums[name])
  }

  /// The gradient of `name`, which is over with that.
  mutating func take(_ name: GradientName) throws(OperationError) -> Tensor<Storage> {
    guard let sum = sums.removeValue(forKey: name) else {
      throw OperationError(.unsupported, "backward", "the model was not built for the gradient of its \(name)")
    }
    return sum
  }
}
