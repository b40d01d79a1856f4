/// A tensor that lives on a backend: a shape and an element type over the backend's own storage.
///
/// Row-major and dense. The storage goes back to the backend's pool when the last reference to it goes.
public struct Tensor<Storage: Sendable>: Sendable {
  public let shape: Shape
  public let type: ElementType
  public let storage: Storage

  public init(shape: Shape, type: ElementType, storage: Storage) {
    self.shape = shape
    self.type = type
    self.storage = storage
  }

  /// Bytes the elements take; the storage may be larger.
  public var byteCount: Int { shape.byteCount(type) }

  /// The same storage seen under another shape of the same count.
  package func reshaped(_ shape: Shape) -> Tensor {
    precondition(shape.count == self.shape.count, "\(self.shape) can't be seen as \(shape)")
    return Tensor(shape: shape, type: type, storage: storage)
  }
}
