import Tensors

/// How much each place of a picture counts, row by row from the top left: 0 for not at all, 255 for in full.
public struct Mask: Sendable, Hashable {
  public let width: Int
  public let height: Int
  /// `height * width` of them.
  public let levels: [UInt8]

  /// - Throws: `badData` unless both sides are at least 1 and there are `height * width` levels.
  public init(width: Int, height: Int, levels: [UInt8]) throws(UserError) {
    guard width > 0, height > 0, levels.count == Shape([height, width]).count else {
      throw UserError(.badData, "\(levels.count) levels do not make a mask of \(width)x\(height)")
    }
    self.init(checked: width, height, levels)
  }

  init(checked width: Int, _ height: Int, _ levels: [UInt8]) {
    (self.width, self.height, self.levels) = (width, height, levels)
  }

  /// What a picture's greys say, its colours as Pillow's `convert("L")` weighs them (ITU-R BT.601); what can be seen through
  /// counts as much less.
  public init(_ decoded: DecodedPicture) {
    let pixels = decoded.over(.black).pixels
    let levels = (0..<pixels.count / 3).map { pixel in
      let (red, green, blue) = (Int(pixels[3 * pixel]), Int(pixels[3 * pixel + 1]), Int(pixels[3 * pixel + 2]))
      return UInt8((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)
    }
    self.init(checked: decoded.picture.width, decoded.picture.height, levels)
  }

  /// Both masks' product: a place counts as much as they say together. The other is brought to this one's size.
  package func multiplied(by other: Mask) -> Mask {
    let whole = PictureArea(x: 0, y: 0, width: Double(other.width), height: Double(other.height))
    let factors = other.means(over: whole, columns: width, rows: height)
    return Mask(
      checked: width, height, zip(levels, factors).map { UInt8((Float($0) * $1).rounded()) })
  }

  /// The mean level, 0 to 1, over each of `columns` by `rows` equal cells of a part of the mask, row by row: pixels that lie partly
  /// in a cell count by that part.
  ///
  /// - Precondition: the area has a size and lies in the mask.
  package func means(over area: PictureArea, columns: Int, rows: Int) -> [Float] {
    let across = Self.shares(from: area.x, length: area.width, cells: columns, limit: width)
    let down = Self.shares(from: area.y, length: area.height, cells: rows, limit: height)
    // Along the rows first; those outside of the area are not looked at.
    var lines: [Int: [Double]] = [:]
    for y in Set(down.flatMap { $0.map(\.index) }) {
      lines[y] = across.map { cell in cell.reduce(0) { $0 + Double(levels[y * width + $1.index]) * $1.share } }
    }
    var means: [Float] = []
    for cell in down {
      for column in 0..<columns {
        means.append(Float(cell.reduce(0) { $0 + (lines[$1.index]?[column] ?? 0) * $1.share } / 255))
      }
    }
    return means
  }

  /// For each of the equal cells of a stretch, the pixels that it covers and their shares of it, 1 together.
  private static func shares(from start: Double, length: Double, cells: Int, limit: Int) -> [[(
    index: Int, share: Double
  )]] {
    (0..<cells).map { cell in
      let from = start + length * Double(cell) / Double(cells)
      let to = start + length * Double(cell + 1) / Double(cells)
      let first = min(max(0, Int(from)), limit - 1)
      let end = min(max(first + 1, Int(to.rounded(.up))), limit)
      let covered = (first..<end).map { (index: $0, share: max(0, min(to, Double($0 + 1)) - max(from, Double($0)))) }
      let sum = covered.reduce(0) { $0 + $1.share }
      return sum > 0 ? covered.map { ($0.index, $0.share / sum) } : [(first, 1)]
    }
  }
}

/// A part of a picture, in its pixels.
package struct PictureArea: Sendable, Hashable {
  package var x: Double
  package var y: Double
  package var width: Double
  package var height: Double

  package init(x: Double, y: Double, width: Double, height: Double) {
    (self.x, self.y, self.width, self.height) = (x, y, width, height)
  }

  /// The same part where both sides are so many times as long.
  package func scaled(_ across: Double, _ down: Double) -> PictureArea {
    PictureArea(x: x * across, y: y * down, width: width * across, height: height * down)
  }
}
