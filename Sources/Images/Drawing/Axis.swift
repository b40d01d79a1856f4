import Foundation

/// One axis: the range it spans and where it is marked.
package struct Axis: Sendable {
  package let range: ClosedRange<Double>
  package let ticks: [Double]
  private let decimals: Int

  /// An axis over all values with about `lines` marks at round numbers: 1, 2 or 5 times a power of ten apart.
  package init(_ values: [Double], lines: Int) {
    var low = values.min() ?? 0
    var high = values.max() ?? 1
    // Values that differ by float32's rounding alone are one value, and make a flat curve.
    if high - low < 2e-6 * max(abs(high), abs(low), 1e-30) {
      let room = max(abs(high) * 0.1, 1e-6)
      (low, high) = (low - room, high + room)
    }
    let rough = (high - low) / Double(max(lines, 1))
    let power = pow(10, floor(log10(rough)))
    let step = [1, 2, 5, 10].first { $0 * power >= rough * 0.999 }.map { $0 * power } ?? rough
    range = low...high
    let first = Int((low / step).rounded(.up))
    let last = Int((high / step).rounded(.down))
    ticks = first <= last ? (first...last).map { Double($0) * step } : []
    decimals = min(max(0, Int(-floor(log10(step) + 1e-9))), 12)
  }

  /// Where a value lies between the ends, 0 to 1.
  package func fraction(_ value: Double) -> Double {
    (value - range.lowerBound) / (range.upperBound - range.lowerBound)
  }

  /// A mark's number with the digits that tell it from its neighbours.
  package func label(_ value: Double) -> String {
    if abs(value) >= 1e7 || decimals > 6 { return String(format: "%.2g", value) }
    return String(format: "%.\(decimals)f", value == 0 ? 0 : value)
  }
}
