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

/// `sum_i a[first + i] b[second + i stride]` over `count` terms.
///
/// With `addProduct` the only loop that isn't written out in place: pointers keep a debug build's sums to nanoseconds a term.
func dot(_ a: [Double], _ first: Int, _ b: [Double], _ second: Int, stride: Int = 1, count: Int) -> Double {
  guard count > 0 else { return 0 }
  precondition(first + count <= a.count && second + (count - 1) * stride < b.count)
  return a.withUnsafeBufferPointer { a in
    b.withUnsafeBufferPointer { b in
      guard let x = a.baseAddress, let y = b.baseAddress else { return 0 }
      var (sum, i) = (0.0, 0)
      while i < count {
        sum += x[first + i] * y[second + i * stride]
        i += 1
      }
      return sum
    }
  }
}

/// `a[first + i] += factor b[second + i stride]` for `count` elements.
func addProduct(
  _ factor: Double, _ b: [Double], _ second: Int, stride: Int = 1, to a: inout [Double], _ first: Int, count: Int
) {
  guard count > 0 else { return }
  precondition(first + count <= a.count && second + (count - 1) * stride < b.count)
  a.withUnsafeMutableBufferPointer { a in
    b.withUnsafeBufferPointer { b in
      guard let x = a.baseAddress, let y = b.baseAddress else { return }
      var i = 0
      while i < count {
        x[first + i] += factor * y[second + i * stride]
        i += 1
      }
    }
  }
}
