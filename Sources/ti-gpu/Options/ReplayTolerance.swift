import ArgumentParser
import TextualInversion

/// `--replay-tolerance`: one bound for loss, gradient and rows, or a bound for each that is named.
struct ReplayTolerance: ExpressibleByArgument, Encodable {
  /// Bounds by the quantity's name.
  private var bounds: [String: Double] = [:]
  private var isOne = false

  init?(argument: String) {
    if let bound = Self.bound(argument) {
      isOne = true
      for quantity in ReplayComparison.Quantity.allCases { bounds[quantity.name] = bound }
      return
    }
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
      guard pair.count == 2, ReplayComparison.Quantity.allCases.contains(where: { $0.name == pair[0] }),
        let bound = Self.bound(pair[1]), bounds.updateValue(bound, forKey: pair[0]) == nil
      else { return nil }
    }
  }

  private static func bound(_ text: String) -> Double? {
    Double(text).flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
  }

  /// A line for every error over its bound, and for every bound of what the trace has none of.
  func excesses(of errors: ReplayComparison) -> [String] {
    ReplayComparison.Quantity.allCases.compactMap { quantity in
      guard let bound = bounds[quantity.name] else { return nil }
      guard let error = errors.errors[quantity] else {
        return isOne ? nil : "--replay-tolerance bounds \(quantity.name), of which the trace says nothing"
      }
      // Written so that an error that is not a number fails too.
      guard !(error <= bound) else { return nil }
      return "the largest relative error of the \(quantity.name), \(error), is over --replay-tolerance \(bound)"
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if isOne, let bound = bounds.values.first { try container.encode(bound) } else { try container.encode(bounds) }
  }
}
