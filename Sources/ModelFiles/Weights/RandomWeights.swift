import Dispatch
import Tensors

/// Random weights that keep activations and gradients in a healthy range, for a model of any shape with no file.
///
/// A tensor's values depend on the seed, its name and its shape's count alone. Uniform: matrices and kernels of variance
/// `1 / fan in`, embedding tables of deviation 0.02, norms' scales within a tenth of 1, biases within a fiftieth of 0.
public final class RandomWeights: WeightSource, Sendable {
  private let seed: UInt64

  public init(seed: UInt64 = 0) { self.seed = seed }

  public func contains(_ name: String) -> Bool { true }

  public func finish() throws(UserError) {}

  public func take(_ name: String, _ shape: Shape) throws(UserError) -> HostTensor {
    let (middle, reach) = Self.range(name, shape)
    // FNV-1a, 64 bits: the same on every machine and in every run, which Swift's own hashes are not.
    let hash = name.utf8.reduce(UInt64(0xCBF2_9CE4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
    let random = Philox(seed: seed ^ hash, stream: 0x5745_4947)
    let count = shape.count
    let values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      let piece = 1 << 16
      nonisolated(unsafe) let buffer = buffer
      DispatchQueue.concurrentPerform(iterations: (count + piece - 1) / piece) { part in
        Self.fill(buffer, part * piece..<min(count, (part + 1) * piece), random, middle, reach)
      }
      initialized = count
    }
    return HostTensor(shape, values)
  }

  /// Element `i` comes from word `i % 4` of block `i / 4`: its upper 24 bits, spread over `middle - reach ..< middle + reach`.
  private static func fill(
    _ buffer: UnsafeMutableBufferPointer<Float>, _ range: Range<Int>, _ random: Philox, _ middle: Float, _ reach: Float
  ) {
    guard let base = buffer.baseAddress else { return }
    let scale = reach * 0x1p-23
    let start = middle - reach
    var index = range.lowerBound
    while index < range.upperBound {
      let words = random.block(UInt64(index / 4))
      for lane in 0..<min(4, range.upperBound - index) {
        (base + index + lane).initialize(to: start + Float(words[lane] >> 8) * scale)
      }
      index += 4
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
