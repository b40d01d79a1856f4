import Foundation
import Tensors

extension HostTensor {
  /// A row of a table in double precision.
  func row(_ index: Int) -> [Double] {
    values[index * shape.channels..<(index + 1) * shape.channels].map(Double.init)
  }
}

extension [Double] {
  /// The Euclidean norm.
  var length: Double { reduce(0) { $0 + $1 * $1 }.squareRoot() }

  /// The angle to another vector in radians: `2 atan2(|u - v|, |u + v|)` of their directions, exact where the cosine is not, near 0 and
  /// near a half turn; nil where one has no length.
  func angle(to other: [Double]) -> Double? {
    let (lengthA, lengthB) = (length, other.length)
    guard lengthA > 0, lengthB > 0 else { return nil }
    let directions = zip(self, other).map { ($0 / lengthA, $1 / lengthB) }
    return 2 * atan2(directions.map { $0 - $1 }.length, directions.map { $0 + $1 }.length)
  }
}
