import Tensors
import Testing

/// How far a result may lie from the double-precision reference.
///
/// A backend stores in `type` and sums in 32-bit floats, so the error of one element is at most that of storing it,
/// `u |y|` with the type's unit roundoff `u`, and that of the sum. Rounding errors of a sum of K terms add up like a random
/// walk, to about `√K 2⁻²⁴` times the size of the terms' sum; four of those is the bound (with K at least 16: a few
/// operations stand behind the shortest of results, and library functions are good to some units in the last place).
public struct Tolerance: Sendable {
  let type: ElementType
  let sum: Double
  let store: Double
  let magnitude: Double

  /// - Parameters:
  ///   - type: how the result is stored.
  ///   - terms: how many terms each element sums.
  ///   - roundings: how often a value may be rounded to `type` on its way; each beyond the last costs `u` of the largest
  ///     element.
  ///   - condition: by how much the computation amplifies a relative error of its inputs' 32-bit images.
  ///   - magnitude: the size of the terms where it is more than the size of the result, as in differences.
  public init(
    _ type: ElementType, terms: Int, roundings: Int = 1, condition: Double = 1, magnitude: Double = 0
  ) {
    self.type = type
    sum =
      4 * 0x1p-24 * max(Double(terms), 16).squareRoot() * condition
      + (type == .float32 ? 0 : Double(roundings - 1) * type.unitRoundoff)
    store = type == .float32 ? 0 : type.unitRoundoff
    self.magnitude = magnitude
  }

  /// The largest error allowed to an element of the given value in a tensor whose largest element is `largest`.
  func bound(_ value: Double, largest: Double) -> Double {
    store * abs(value) + sum * max(largest, magnitude) + type.underflow
  }
}

/// Expects `actual` to be `reference` within the tolerance, finite where it is finite and not where it is not.
///
/// - Parameter largest: the size of numbers that errors are relative to; the largest of the reference where it isn't given.
public func expectClose(
  _ actual: HostTensor, _ reference: ReferenceTensor, _ tolerance: Tolerance, _ what: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard actual.shape == reference.shape else {
    Issue.record("\(what): the shape is \(actual.shape), not \(reference.shape)", sourceLocation: sourceLocation)
    return
  }
  let largest = reference.largest
  var worst = (index: -1, excess: 1.0)
  var wrong = 0
  for index in actual.values.indices {
    let (value, expected) = (Double(actual.values[index]), reference.values[index])
    let excess: Double
    if expected.isFinite {
      excess = value.isFinite ? abs(value - expected) / tolerance.bound(expected, largest: largest) : .infinity
    } else {
      excess = value.isFinite ? .infinity : 0
    }
    if excess > 1 { wrong += 1 }
    if excess > worst.excess { worst = (index, excess) }
  }
  guard wrong > 0 else { return }
  let (value, expected) = (actual.values[worst.index], reference.values[worst.index])
  Issue.record(
    """
    \(what): \(wrong) of \(actual.values.count) elements are off, the worst at \(position(worst.index, in: actual.shape)): \
    \(value) instead of \(expected), \(worst.excess) times the tolerance (largest element \(largest))
    """, sourceLocation: sourceLocation)
}

/// Expects two runs of the same operation to give the same bits.
public func expectSameBits(
  _ a: HostTensor, _ b: HostTensor, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
) {
  guard a.shape == b.shape else {
    Issue.record("\(what): shapes \(a.shape) and \(b.shape)", sourceLocation: sourceLocation)
    return
  }
  if let index = a.values.indices.first(where: { a.values[$0].bitPattern != b.values[$0].bitPattern }) {
    Issue.record(
      """
      \(what): two runs differ at \(position(index, in: a.shape)): \(a.values[index]) and \(b.values[index])
      """, sourceLocation: sourceLocation)
  }
}

private func position(_ index: Int, in shape: Shape) -> [Int] {
  var rest = index
  return shape.dimensions.reversed().map { length in
    defer { rest /= length }
    return rest % length
  }.reversed()
}
