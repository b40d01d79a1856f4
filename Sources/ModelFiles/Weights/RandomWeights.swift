import Dispatch
import Tensors

/// Random weights that keep activations and gradients in a healthy range, for a model of any shape with no file.
///
/// A tensor's values depend on the seed, its name and its shape's count alone. Uniform: matrices and kernels of
/// variance `1 / fan in`, embedding tables of deviation 0.02, norms' scales within a tenth of 1, biases within a
/// fiftieth of 0.
public final class RandomWeights: WeightSource, Sendable {
  private let seed: UInt64

  public init(seed: UInt64 = 0) { self.seed = seed }

  public func contains(_ name: String) -> Bool { true }

  public func finish(passingOver paths: [String]) throws(UserError) {}

  public func take(_ name: String, _ shape: Shape) throws(UserError) -> HostTensor {
    let (middle, reach) = Self.range(name, shape)
    // FNV-1a, 64 bits: the same on every machine and in every run, which Swift's own hashes are not.
    let hash = name.utf8.reduce(UInt64(0xCBF2_9CE4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
    let words = Philox(seed: seed ^ hash, stream: 0x5745_4947).block(0)
    let key = UInt64(words[0]) << 32 | UInt64(words[1])
    let count = shape.count
    let values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      let piece = 1 << 16
      nonisolated(unsafe) let buffer = buffer
      DispatchQueue.concurrentPerform(iterations: (count + piece - 1) / piece) { part in
        Self.fill(buffer, part * piece..<min(count, (part + 1) * piece), key, middle, reach)
      }
      initialized = count
    }
    return HostTensor(shape, values)
  }

  /// Elements `2 j` and `2 j + 1` come from the lower and the upper half of hash `j`: 24 bits each, spread over
  /// `middle - reach ..< middle + reach`. The hash is SplitMix64 (Steele, Lea and Flood, 2014) of `key`: a full-size
  /// model takes a thousand million numbers, and this one is ten times as fast as Philox.
  private static func fill(
    _ buffer: UnsafeMutableBufferPointer<Float>, _ range: Range<Int>, _ key: UInt64, _ middle: Float, _ reach: Float
  ) {
    guard let base = buffer.baseAddress else { return }
    let scale = reach * 0x1p-23
    let start = middle - reach
    var index = range.lowerBound
    while index < range.upperBound {
      var hash = key &+ UInt64(truncatingIfNeeded: index / 2 + 1) &* 0x9E37_79B9_7F4A_7C15
      hash = (hash ^ hash >> 30) &* 0xBF58_476D_1CE4_E5B9
      hash = (hash ^ hash >> 27) &* 0x94D0_49BB_1331_11EB
      hash ^= hash >> 31
      (base + index).initialize(to: start + Float(Int32(truncatingIfNeeded: hash >> 8 & 0xFF_FFFF)) * scale)
      if index + 1 < range.upperBound {
        (base + index + 1).initialize(to: start + Float(Int32(truncatingIfNeeded: hash >> 40)) * scale)
      }
      index += 2
    }
  }

  private static func range(_ name: String, _ shape: Shape) -> (middle: Float, reach: Float) {
    if shape.rank < 2 { return name.hasSuffix("bias") ? (0, 0.02) : (1, 0.1) }
    let spread = Float(3).squareRoot()  // a uniform distribution's reach over its deviation
    if name.hasSuffix("embedding.weight") { return (0, 0.02 * spread) }
    let fanIn = max(1, shape.count / max(1, shape[0]))
    return (0, spread / Float(fanIn).squareRoot())
  }
}
