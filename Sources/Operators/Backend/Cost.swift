/// What an operation takes at the least: the yardstick of benchmarks.
public struct Cost: Sendable, Hashable {
  /// Floating-point operations; a multiply-add is two.
  public let flop: Double
  /// Bytes read and written if each tensor moves once.
  public let bytes: Double

  public init(flop: Double, bytes: Double) {
    self.flop = flop
    self.bytes = bytes
  }
}
