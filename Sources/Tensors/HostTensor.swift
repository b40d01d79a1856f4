/// A tensor in the program's own memory, as 32-bit floats in row-major order: what files hold and what devices are filled from.
public struct HostTensor: Sendable, Equatable {
  public let shape: Shape
  public package(set) var values: [Float]

  /// A tensor of the values given, in row-major order.
  ///
  /// - Throws: `badData` where there are more or fewer values than the shape has elements.
  public init(shape: Shape, values: [Float]) throws(UserError) {
    guard values.count == shape.count else {
      throw UserError(.badData, "\(values.count) values do not fill a tensor of \(shape)")
    }
    self.init(shape, values)
  }

  /// - Precondition: `values.count == shape.count`; whoever reads files checks lengths before.
  package init(_ shape: Shape, _ values: [Float]) {
    precondition(values.count == shape.count, "\(values.count) values for shape \(shape)")
    self.shape = shape
    self.values = values
  }

  package init(repeating value: Float, _ shape: Shape) {
    self.init(shape, Array(repeating: value, count: shape.count))
  }

  /// A tensor whose values nobody reads, for dry runs. As nobody writes them either, they take no memory.
  package static func blank(_ shape: Shape) -> HostTensor {
    HostTensor(shape, [Float](unsafeUninitializedCapacity: shape.count) { _, count in count = shape.count })
  }

  /// The same values under another shape of the same count.
  package func reshaped(_ shape: Shape) -> HostTensor { HostTensor(shape, values) }

  /// The values with the axes reordered: axis `i` of the result is axis `order[i]` of this tensor.
  package func transposed(_ order: [Int]) -> HostTensor {
    precondition(order.sorted() == Array(0..<shape.rank), "\(order) does not reorder \(shape)")
    var strides = Array(repeating: 1, count: shape.rank)
    for axis in stride(from: shape.rank - 2, through: 0, by: -1) { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    let result = Shape(order.map { shape[$0] })
    let steps = order.map { strides[$0] }
    var index = Array(repeating: 0, count: shape.rank)
    var source = 0
    let transposed = [Float](unsafeUninitializedCapacity: shape.count) { buffer, count in
      values.withUnsafeBufferPointer { values in
        for target in 0..<result.count {
          buffer.initializeElement(at: target, to: values[source])
          var axis = result.rank - 1
          while axis >= 0 {
            index[axis] += 1
            source += steps[axis]
            if index[axis] < result[axis] { break }
            source -= steps[axis] * result[axis]
            index[axis] = 0
            axis -= 1
          }
        }
      }
      count = result.count
    }
    return HostTensor(result, transposed)
  }
}
