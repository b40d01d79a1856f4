extension Picture {
  /// The picture at another size by bicubic interpolation, equal to Pillow's `resize((width, height), BICUBIC)` bit
  /// for bit.
  ///
  /// A pixel of the result is a weighted mean of the pixels that the kernel (a = -1/2) covers; when the picture
  /// shrinks the kernel is stretched by the same factor, so nothing is skipped. First along the rows, then along the
  /// columns, with 8 bits in between and the weights in 22-bit fixed point. Where the height loses more than twice
  /// the pixels that the width loses the columns come first, as in Pillow from version 13 on.
  ///
  /// - Precondition: both sides are at least 1.
  package func resized(width: Int, height: Int) -> Picture {
    precondition(width > 0 && height > 0)
    var picture = self
    let lostHeight = self.height - height
    if lostHeight > 0, lostHeight > 2 * (self.width - width) { picture = picture.resizedAlongColumns(to: height) }
    if width != self.width { picture = picture.resizedAlongRows(to: width) }
    if height != picture.height { picture = picture.resizedAlongColumns(to: height) }
    return picture
  }

  private func resizedAlongRows(to length: Int) -> Picture {
    let weights = ResizeWeights(from: width, to: length)
    let result = [UInt8](unsafeUninitializedCapacity: length * height * 3) { buffer, count in
      pixels.withUnsafeBufferPointer { pixels in
        for y in 0..<height {
          let row = y * width * 3
          for x in 0..<length {
            var sum = SIMD4<Int32>(repeating: ResizeWeights.half)
            var source = row + weights.starts[x] * 3
            for tap in weights.taps(x) {
              let weight = weights.values[tap]
              sum[0] &+= Int32(pixels[source]) &* weight
              sum[1] &+= Int32(pixels[source + 1]) &* weight
              sum[2] &+= Int32(pixels[source + 2]) &* weight
              source += 3
            }
            let target = (y * length + x) * 3
            for channel in 0..<3 {
              buffer.initializeElement(at: target + channel, to: ResizeWeights.level(sum[channel]))
            }
          }
        }
      }
      count = length * height * 3
    }
    return Picture(width: length, height: height, pixels: result)
  }

  private func resizedAlongColumns(to length: Int) -> Picture {
    let weights = ResizeWeights(from: height, to: length)
    let stride = width * 3
    var sums = [Int32](repeating: 0, count: stride)
    let result = [UInt8](unsafeUninitializedCapacity: length * stride) { buffer, count in
      pixels.withUnsafeBufferPointer { pixels in
        sums.withUnsafeMutableBufferPointer { sums in
          for y in 0..<length {
            sums.update(repeating: ResizeWeights.half)
            var source = weights.starts[y] * stride
            for tap in weights.taps(y) {
              let weight = weights.values[tap]
              for x in 0..<stride { sums[x] &+= Int32(pixels[source + x]) &* weight }
              source += stride
            }
            for x in 0..<stride { buffer.initializeElement(at: y * stride + x, to: ResizeWeights.level(sums[x])) }
          }
        }
      }
      count = length * stride
    }
    return Picture(width: width, height: length, pixels: result)
  }
}

/// Which pixels of a line go into each pixel of a longer or shorter one, and with what weight.
private struct ResizeWeights {
  /// Bits behind the point: 32, less 8 of the pixel and 2 for what weights beyond 1 and below 0 add.
  private static let bits = 22
  /// What rounds a sum to the nearest when its fraction is cut off.
  static let half = Int32(1) << (bits - 1)

  /// The first source pixel of each target pixel.
  private(set) var starts: [Int] = []
  /// The weights of all target pixels, one after the other.
  private(set) var values: [Int32] = []
  private var ends: [Int] = []

  init(from source: Int, to target: Int) {
    let scale = Double(source) / Double(target)
    let stretch = max(scale, 1)
    let reach = 2 * stretch
    for index in 0..<target {
      let center = (Double(index) + 0.5) * scale
      let first = max(Int(center - reach + 0.5), 0)
      let end = min(Int(center + reach + 0.5), source)
      var weights: [Double] = []
      for pixel in 0..<end - first {
        weights.append(Self.bicubic((Double(pixel + first) - center + 0.5) * (1 / stretch)))
      }
      let sum = weights.reduce(0, +)
      starts.append(first)
      for weight in weights {
        let fixed = (sum == 0 ? weight : weight / sum) * Double(1 << Self.bits)
        values.append(Int32(fixed < 0 ? fixed - 0.5 : fixed + 0.5))
      }
      ends.append(values.count)
    }
  }

  /// Where the weights of target pixel `index` lie.
  func taps(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }

  static func level(_ sum: Int32) -> UInt8 { UInt8(clamping: sum >> Int32(bits)) }

  /// Keys' cubic convolution kernel with a = -1/2 (1981).
  private static func bicubic(_ x: Double) -> Double {
    let a = -0.5
    let x = abs(x)
    if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
    return 0
  }
}
