import Tensors

/// How far a replayed step is from what the trace expects: `|a - b| / max|b|`, the largest over a tensor.
public struct ReplayComparison: Sendable, Codable {
  public var loss: Double
  public var gradient: Double
  public var embedding: Double

  /// Nothing compared yet.
  public static let none = ReplayComparison(loss: 0, gradient: 0, embedding: 0)

  /// Holds one optimizer step against a trace, at the entry that ends the step.
  public init(_ result: StepResult, _ expected: ReplayTrace.Expected, accumulation: Int) {
    let last = result.step * accumulation - 1
    let losses = expected.losses.values[last + 1 - accumulation...last]
    loss = Self.error([result.loss], [losses.reduce(0, +) / Float(accumulation)][...])
    let size = result.rows.shape.count
    gradient = Self.error(result.gradient.values, expected.gradients.values[last * size..<(last + 1) * size])
    embedding = Self.error(result.rows.values, expected.embeddings.values[last * size..<(last + 1) * size])
  }

  private init(loss: Double, gradient: Double, embedding: Double) {
    self.loss = loss
    self.gradient = gradient
    self.embedding = embedding
  }

  /// The larger of each error.
  public func maximum(_ other: ReplayComparison) -> ReplayComparison {
    ReplayComparison(
      loss: max(loss, other.loss), gradient: max(gradient, other.gradient),
      embedding: max(embedding, other.embedding))
  }

  /// The largest error of the three.
  public var largest: Double { max(loss, gradient, embedding) }

  private static func error(_ actual: [Float], _ expected: ArraySlice<Float>) -> Double {
    let scale = expected.reduce(0) { max($0, abs($1)) }
    let difference = zip(actual, expected).reduce(0) { max($0, abs(Double($1.0) - Double($1.1))) }
    return scale > 0 ? difference / Double(scale) : difference
  }
}
