import Operators
import Tensors

/// A tensor in double precision: what the plain reference loops read and write.
public struct ReferenceTensor: Sendable {
  public let shape: Shape
  public var values: [Double]

  public init(_ shape: Shape, _ values: [Double]) {
    precondition(values.count == shape.count, "\(values.count) values for shape \(shape)")
    self.shape = shape
    self.values = values
  }

  public init(zeros shape: Shape) { self.init(shape, Array(repeating: 0, count: shape.count)) }

  public init(_ tensor: HostTensor) { self.init(tensor.shape, tensor.values.map(Double.init)) }

  /// The largest magnitude among the finite values; 0 if there is none.
  public var largest: Double { values.reduce(0) { $1.isFinite ? max($0, abs($1)) : $0 } }

  static func + (a: ReferenceTensor, b: ReferenceTensor?) -> ReferenceTensor {
    guard let b else { return a }
    precondition(a.shape.count == b.shape.count)
    return ReferenceTensor(a.shape, zip(a.values, b.values).map { $0 + $1 })
  }
}

/// Every operation as the plainest loop over doubles, straight from its docstring's equation.
///
/// These loops are what backends are held against. They share nothing with them: no layout, no tiling, no packing, no
/// trick for memory or speed. `ReferenceTests` holds the loops themselves against numbers from PyTorch.
public enum Reference {}
