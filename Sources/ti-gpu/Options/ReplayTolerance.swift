import ArgumentParser
import TextualInversion

/// `--replay-tolerance`: one bound for loss, gradient and rows, or a bound for each that is named.
struct ReplayTolerance: ExpressibleByArgument, Encodable {
  /// Bounds by the quantity's name, in the order of `quantities`.
  private var bounds: [String: Double] = [:]
  private var isOne = false

  private static let quantities: [(name: String, error: @Sendable (ReplayComparison) -> Double)] = [
    ("loss", { $0.loss }), ("gradient", { $0.gradient }), ("rows", { $0.embedding }),
  ]

  init?(argument: String) {
    if let bound = Self.bound(argument) {
      isOne = true
      for quantity in Self.quantities { bounds[quantity.name] = bound }
      return
    }
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
      guard pair.count == 2, Self.quantities.contains(where: { $0.name == pair[0] }), let bound = Self.bound(pair[1]),
        bounds.updateValue(bound, forKey: pair[0]) == nil
      else { return nil }
    }
  }

  private static func bound(_ text: String) -> Double? {
    Double(text).flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
  }

  /// A line for every error over its bound.
  func excesses(of errors: ReplayComparison) -> [String] {
    Self.quantities.compactMap { name, quantity in
      let error = quantity(errors)
      // Written so that an error that is not a number fails too.
      guard let bound = bounds[name], !(error <= bound) else { return nil }
      return "the largest relative error of the \(name), \(error), is over --replay-tolerance \(bound)"
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if isOne, let bound = bounds.values.first { try container.encode(bound) } else { try container.encode(bounds) }
  }
}
