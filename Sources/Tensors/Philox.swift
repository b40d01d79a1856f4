/// Counter-based random numbers, Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
///
/// A draw is a function of (seed, stream, step, index) alone: the same on every device, and a resumed run draws what the
/// unbroken run would have drawn with no state to restore.
public struct Philox: Sendable {
  private let key: SIMD2<UInt32>
  private let stream: UInt32
  private let step: UInt32

  /// - Parameters:
  ///   - seed: the run's seed; all 64 bits are the key.
  ///   - stream: what the numbers are for; streams are independent.
  ///   - step: which step of the run draws.
  public init(seed: UInt64, stream: UInt32, step: UInt32 = 0) {
    key = [UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)]
    self.stream = stream
    self.step = step
  }

  /// The four 32-bit words of block `index`.
  public func block(_ index: UInt64) -> SIMD4<UInt32> {
    Philox.rounds(
      counter: [UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32), step, stream], key: key)
  }

  /// The bare generator: ten rounds over a counter, as the reference implementation's known-answer tests give it.
  public static func rounds(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var counter = counter
    var key = key
    for round in 0..<10 {
      if round > 0 { key &+= [0x9E37_79B9, 0xBB67_AE85] }
      let product0 = UInt64(0xD251_1F53) * UInt64(counter[0])
      let product1 = UInt64(0xCD9E_8D57) * UInt64(counter[2])
      counter = [
        UInt32(product1 >> 32) ^ counter[1] ^ key[0], UInt32(truncatingIfNeeded: product1),
        UInt32(product0 >> 32) ^ counter[3] ^ key[1], UInt32(truncatingIfNeeded: product0),
      ]
    }
    return counter
  }
}
