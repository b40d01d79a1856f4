import Tensors

/// Where a model's weights come from, by the names that diffusers and transformers give them.
public protocol WeightSource: AnyObject {
  /// The tensor of this name; `badData` that names it when it is missing or of another shape.
  func take(_ name: String, _ shape: Shape) throws(UserError) -> HostTensor

  /// Whether `take` would find the name.
  func contains(_ name: String) -> Bool

  /// To be called when the model has what it needs: `badData` that names the tensors nobody took.
  ///
  /// - Parameter paths: names, and what tensors' names begin with up to a dot, that the model leaves unread.
  func finish(passingOver paths: [String]) throws(UserError)
}

extension WeightSource {
  public func finish() throws(UserError) { try finish(passingOver: []) }
}
