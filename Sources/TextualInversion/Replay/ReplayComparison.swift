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
public struct ReplayComparison: Sendable, Codable {
  public var loss: Double
  public var gradient: Double
  public var embedding: Double

  /// Nothing compared yet.
  public static let none = ReplayComparison(loss: 0, gradient: 0, embedding: 0)

  /// - Parameters: what one step made, and what it should have.
  init(loss: Float, gradient: HostTensor, rows: HostTensor, _ expected: ReplayTrace.Expectation) {
    self.loss = Self.error([loss], [expected.loss])
    self.gradient = Self.error(gradient.values, expected.gradient.values.map(Double.init))
    embedding = Self.error(rows.values, expected.rows.values.map(Double.init))
  }

  private init(loss: Double, gradient: Double, embedding: Double) {
    self.loss = loss
    self.gradient = gradient
    self.embedding = embedding
  }

  /// The larger of each error.
  public func maximum(_ other: ReplayComparison) -> ReplayComparison {
    ReplayComparison(
      loss: Self.larger(loss, other.loss), gradient: Self.larger(gradient, other.gradient),
      embedding: Self.larger(embedding, other.embedding))
  }

  private static func error(_ actual: [Float], _ expected: [Double]) -> Double {
    let scale = expected.reduce(0) { max($0, abs($1)) }
    let difference = zip(actual, expected).reduce(0) { larger($0, abs(Double($1.0) - $1.1)) }
    return scale > 0 ? difference / scale : difference
  }

  /// An error that is no number stays one.
  private static func larger(_ a: Double, _ b: Double) -> Double { a.isNaN || b <= a ? a : b }
}
