import Tensors

/// A picture in 8-bit RGB, row by row from the top left.
public struct Picture: Sendable, Hashable {
  public let width: Int
  public let height: Int
  /// `height * width * 3` bytes.
  public internal(set) var pixels: [UInt8]

  /// A picture of the pixels given, row by row.
  ///
  /// - Throws: `badData` unless both sides are at least 1 and there are `height * width * 3` bytes.
  public init(width: Int, height: Int, rgb pixels: [UInt8]) throws(UserError) {
    guard width > 0, height > 0, pixels.count == Shape([height, width, 3]).count else {
      throw UserError(.badData, "\(pixels.count) bytes do not make a picture of \(width)x\(height)")
    }
    self.init(width: width, height: height, pixels: pixels)
  }

  /// - Precondition: both sides are at least 1 and `pixels.count == width * height * 3`.
  package init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(width > 0 && height > 0 && pixels.count == width * height * 3, "\(width) x \(height)")
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// A picture of one color.
  package init(width: Int, height: Int, color: Color) {
    self.init(
      width: width, height: height,
      pixels: Array(repeating: [color.red, color.green, color.blue], count: width * height).flatMap { $0 })
  }

  /// The part that begins `x` pixels from the left and `y` from the top.
  ///
  /// - Precondition: the part lies inside the picture.
  package func cropped(x: Int, y: Int, width: Int, height: Int) -> Picture {
    precondition(x >= 0 && y >= 0 && x + width <= self.width && y + height <= self.height)
    var part: [UInt8] = []
    part.reserveCapacity(width * height * 3)
    for row in y..<y + height {
      let start = (row * self.width + x) * 3
      part.append(contentsOf: pixels[start..<start + width * 3])
    }
    return Picture(width: width, height: height, pixels: part)
  }

  /// The picture in a mirror: left and right exchanged.
  public var flipped: Picture { mapped(width: width, height: height) { x, y in (width - 1 - x, y) } }

  /// Every pixel as a square of `factor * factor`.
  package func enlarged(_ factor: Int) -> Picture {
    precondition(factor > 0)
    if factor == 1 { return self }
    return mapped(width: width * factor, height: height * factor) { x, y in (x / factor, y / factor) }
  }

  /// The picture of this size whose pixels come from where `source` says.
  func mapped(width: Int, height: Int, _ source: (_ x: Int, _ y: Int) -> (x: Int, y: Int)) -> Picture {
    let result = [UInt8](unsafeUninitializedCapacity: width * height * 3) { buffer, count in
      pixels.withUnsafeBufferPointer { pixels in
        var target = 0
        for y in 0..<height {
          for x in 0..<width {
            let place = source(x, y)
            let start = (place.y * self.width + place.x) * 3
            buffer.initializeElement(at: target, to: pixels[start])
            buffer.initializeElement(at: target + 1, to: pixels[start + 1])
            buffer.initializeElement(at: target + 2, to: pixels[start + 2])
            target += 3
          }
        }
      }
      count = width * height * 3
    }
    return Picture(width: width, height: height, pixels: result)
  }
}

/// A color in 8-bit RGB.
public struct Color: Sendable, Hashable {
  public let red: UInt8
  public let green: UInt8
  public let blue: UInt8

  public init(_ red: UInt8, _ green: UInt8, _ blue: UInt8) {
    self.red = red
    self.green = green
    self.blue = blue
  }

  public static let white = Color(255, 255, 255)
  public static let black = Color(0, 0, 0)
}
