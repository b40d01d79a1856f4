import Foundation
import ModelFiles
import Tensors

/// How a replay goes from step to step.
public enum ReplayMode: String, Sendable, Codable, CaseIterable {
  /// As training runs: a step starts from what the last one left, and errors compound.
  case free
  /// A step starts from the trace's rows and from the moments that its gradients make, and its update gets the trace's
  /// gradient: what is compared is one loss, one gradient and one update, each by itself.
  case forced
}

/// How far a replayed step is from what the trace expects: `|a - b| / max|b|`, the largest over a tensor.
///
/// An update's error is relative to the rows, not to the step they took: rows are 32-bit floats, so that half a unit in
/// their last place is the least error there is.
public struct ReplayComparison: Sendable, Encodable {
  /// What is compared.
  public enum Quantity: Sendable, Hashable, Comparable, CaseIterable {
    case loss, gradient, rows, gradient2, rows2

    /// What options and lines call it.
    public var name: String {
      switch self {
      case .loss: "loss"
      case .gradient: "gradient"
      case .rows: "rows"
      case .gradient2: "gradient_2"
      case .rows2: "rows_2"
      }
    }

    static func gradient(_ encoder: Component) -> Quantity { encoder == .textEncoder ? .gradient : .gradient2 }
    static func rows(_ encoder: Component) -> Quantity { encoder == .textEncoder ? .rows : .rows2 }
  }

  public private(set) var errors: [Quantity: Double]

  /// Nothing compared yet.
  public static let none = ReplayComparison(errors: [:])

  /// - Parameters: what one step made, and what it should have; of the encoders that the trace knows.
  init(
    loss: Float, gradients: [Component: HostTensor], rows: [Component: HostTensor],
    _ expected: ReplayTrace.Expectation
  ) {
    errors = [.loss: Self.error([loss], [expected.loss])]
    for (encoder, tensor) in expected.gradients {
      errors[.gradient(encoder)] = Self.error(gradients[encoder]?.values ?? [], tensor.values.map(Double.init))
    }
    for (encoder, tensor) in expected.rows {
      errors[.rows(encoder)] = Self.error(rows[encoder]?.values ?? [], tensor.values.map(Double.init))
    }
  }

  private init(errors: [Quantity: Double]) { self.errors = errors }

  /// The larger of each error.
  public func maximum(_ other: ReplayComparison) -> ReplayComparison {
    ReplayComparison(errors: errors.merging(other.errors, uniquingKeysWith: Self.larger))
  }

  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// Each error by its quantity's name; that of the rows as `embedding`.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    for (quantity, error) in errors {
      let name = quantity.name.replacingOccurrences(of: "rows", with: "embedding")
      try container.encode(error, forKey: Key(stringValue: name))
    }
  }

  private static func error(_ actual: [Float], _ expected: [Double]) -> Double {
    guard actual.count == expected.count else { return .nan }
    let scale = expected.reduce(0) { max($0, abs($1)) }
    let difference = zip(actual, expected).reduce(0) { larger($0, abs(Double($1.0) - $1.1)) }
    return scale > 0 ? difference / scale : difference
  }

  /// An error that is no number stays one.
  private static func larger(_ a: Double, _ b: Double) -> Double { a.isNaN || b <= a ? a : b }
}
