/// What a tensor is, without its numbers: its shape, and how they are stored.
public struct TensorDescriptor: Sendable, Hashable, CustomStringConvertible {
  public let shape: Shape
  public let type: ElementType

  public init(_ shape: Shape, _ type: ElementType) {
    self.shape = shape
    self.type = type
  }

  /// Bytes that the elements take.
  public var byteCount: Int { shape.byteCount(type) }

  public var description: String { "\(shape) \(type.rawValue)" }
}

extension Tensor {
  public var descriptor: TensorDescriptor { TensorDescriptor(shape, type) }
}
