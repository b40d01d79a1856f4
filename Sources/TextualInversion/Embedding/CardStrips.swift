import Foundation
import Images
import Tensors

/// The strips at the sides of a card: each byte's low four bits in the left one, its high four in the right, as the low four
/// bits of the colours, disguised by pseudo-random ones. A black column parts each from the picture between them.
enum CardStrips {
  /// The bytes that the strips of a picture hold, with whatever fills the strips up behind them; nil where there are none.
  static func read(_ picture: Picture) -> Data? {
    guard let card = inked(picture) else { return nil }
    // Columns that have no low bits at all: the first and the last of them end the strips.
    let blank = (0..<card.width).filter { x in
      (0..<card.height).allSatisfy { y in
        let start = (y * card.width + x) * 3
        return (card.pixels[start] | card.pixels[start + 1] | card.pixels[start + 2]) & 0x0F == 0
      }
    }
    guard let first = blank.first, let last = blank.last, first < last, first == card.width - last - 1, first > 0 else {
      return nil
    }
    let low = nibbles(card, columns: 0..<first)
    let high = nibbles(card, columns: last + 1..<card.width)
    return Data(zip(low, high).map { $0 | $1 << 4 })
  }

  /// The picture with strips that hold the bytes.
  static func drawn(_ data: Data, beside picture: Picture) -> Picture {
    let height = picture.height
    let columns = max(1, (data.count + height * 3 - 1) / (height * 3))
    let width = picture.width + 2 * columns + 2
    var pixels = Array(repeating: UInt8(0), count: width * height * 3)
    var disguise = Disguise()
    var place = data.startIndex
    for y in 0..<height {
      let row = y * width * 3
      for index in 0..<columns * 3 {
        let byte = place < data.endIndex ? data[place] : 0
        let mask = disguise.next()
        place += 1
        // Some colour above the bits: whoever reads a card cuts black edges off first.
        pixels[row + index] = (byte & 0x0F ^ mask) | shade(index / 3, y)
        pixels[row + (columns + picture.width + 2) * 3 + index] = (byte >> 4 ^ mask) | shade(index / 3, y)
      }
      let source = y * picture.width * 3
      pixels.replaceSubrange(
        row + (columns + 1) * 3..<row + (columns + 1 + picture.width) * 3,
        with: picture.pixels[source..<source + picture.width * 3])
    }
    return Picture(width: width, height: height, pixels: pixels)
  }

  /// A pattern of dots, as a word's strips are known by.
  private static func shade(_ x: Int, _ y: Int) -> UInt8 {
    let (dx, dy) = (x % 8 - 3, y % 8 - 3)
    return dx * dx + dy * dy <= 8 ? 0x60 : 0x20
  }

  private static func nibbles(_ card: Picture, columns: Range<Int>) -> [UInt8] {
    var disguise = Disguise()
    var result: [UInt8] = []
    result.reserveCapacity(card.height * columns.count * 3)
    for y in 0..<card.height {
      let row = y * card.width * 3
      for value in card.pixels[row + columns.lowerBound * 3..<row + columns.upperBound * 3] {
        result.append(value & 0x0F ^ disguise.next())
      }
    }
    return result
  }

  /// The picture without the edges in which no pixel has all three colours; nil where nothing is left.
  private static func inked(_ picture: Picture) -> Picture? {
    var (columns, rows) = (
      Array(repeating: false, count: picture.width), Array(repeating: false, count: picture.height)
    )
    for y in 0..<picture.height {
      for x in 0..<picture.width {
        let start = (y * picture.width + x) * 3
        if picture.pixels[start] > 0, picture.pixels[start + 1] > 0, picture.pixels[start + 2] > 0 {
          columns[x] = true
          rows[y] = true
        }
      }
    }
    guard let left = columns.firstIndex(of: true), let right = columns.lastIndex(of: true),
      let top = rows.firstIndex(of: true), let bottom = rows.lastIndex(of: true)
    else { return nil }
    return picture.cropped(x: left, y: top, width: right - left + 1, height: bottom - top + 1)
  }

  /// Four pseudo-random bits at a time.
  private struct Disguise {
    private var state: UInt32 = 0

    mutating func next() -> UInt8 {
      state = state &* 1_664_525 &+ 1_013_904_223
      return UInt8(truncatingIfNeeded: state % 255) & 0x0F
    }
  }
}
