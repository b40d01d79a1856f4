/// What gradients are gathered for, by name: what a model reads beside the picture, and with it what is trained through it.
public struct GradientName: Sendable, Hashable, CustomStringConvertible {
  public let description: String

  private init(_ description: String) { self.description = description }

  /// The text as every cross-attention reads it, `Conditioning.context`.
  public static let context = GradientName("context")
  /// The text in one vector, `Conditioning.pooled`.
  public static let pooled = GradientName("pooled")
  /// What every residual block is told of timestep, pooled text and sizes.
  static let time = GradientName("time")
}
