import Foundation

extension Philox {
  /// `count` numbers of the standard normal distribution, by the Box-Muller transform in double precision.
  package func normals(_ count: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      var block: UInt64 = 0
      while initialized < count {
        let words = self.block(block)
        for pair in 0..<2 where initialized < count {
          // The half step keeps the logarithm's argument off zero.
          let u = (Double(words[2 * pair]) + 0.5) * 0x1p-32
          let v = Double(words[2 * pair + 1]) * 0x1p-32
          let radius = (-2 * log(u)).squareRoot()
          buffer.initializeElement(at: initialized, to: Float(radius * cos(2 * .pi * v)))
          initialized += 1
          if initialized < count {
            buffer.initializeElement(at: initialized, to: Float(radius * sin(2 * .pi * v)))
            initialized += 1
          }
        }
        block += 1
      }
    }
  }

  /// A whole number of `0..<bound`, uniform up to a bias under `bound / 2^64`.
  package func integer(below bound: Int, at index: Int) -> Int {
    let words = block(UInt64(index))
    let wide = UInt64(words[0]) << 32 | UInt64(words[1])
    return Int(wide.multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// The numbers `0..<count` in a random order (Fisher-Yates), drawn at `start + 1` up to `start + count - 1`.
  package func permutation(_ count: Int, at start: Int = 0) -> [Int] {
    var order = Array(0..<count)
    for last in stride(from: count - 1, to: 0, by: -1) {
      order.swapAt(last, integer(below: last + 1, at: start + last))
    }
    return order
  }
}
