import Tensors

/// Keeps small gradients out of the hole below float16's smallest number: the loss is multiplied, the gradient divided again
/// (Micikevicius et al., "Mixed precision training", 2018). Doubles after a run of good steps, halves on an overflow.
public struct LossScale: Sendable, Hashable, Codable {
  public private(set) var value: Float
  private var goodSteps = 0
  private let adapts: Bool

  private static let growthInterval = 200
  private static let smallest: Float = 1
  private static let largest: Float = 0x1p24

  /// A scale that fits gradients stored as `type`: bfloat16 and float32 reach as far down as is needed.
  public init(for type: ElementType) {
    adapts = type == .float16
    value = adapts ? 0x1p16 : 1
  }

  /// From a checkpoint, whose numbers are checked.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    value = try container.decode(Float.self, forKey: .value)
    goodSteps = try container.decode(Int.self, forKey: .goodSteps)
    adapts = try container.decode(Bool.self, forKey: .adapts)
    guard (Self.smallest...Self.largest).contains(value), (0..<Self.growthInterval).contains(goodSteps) else {
      throw DecodingError.dataCorruptedError(
        forKey: .value, in: container, debugDescription: "the loss scale is \(value) after \(goodSteps) good steps")
    }
  }

  /// Notes a step whose gradient was finite.
  public mutating func succeeded() {
    guard adapts else { return }
    goodSteps += 1
    if goodSteps >= Self.growthInterval {
      value = min(value * 2, Self.largest)
      goodSteps = 0
    }
  }

  /// Notes a gradient that overflowed. Returns whether a smaller scale is left to try the step again with.
  public mutating func overflowed() -> Bool {
    guard adapts, value > Self.smallest else { return false }
    value /= 2
    goodSteps = 0
    return true
  }
}
