/// How a stored picture is to be turned before it is looked at: tag 274 of EXIF, whose values are 1 to 8.
///
/// The value says where the first stored row and column belong: 6, "right, top", is a camera held on its left side.
enum Orientation: UInt16 {
  case upright = 1
  case mirrored = 2
  case upsideDown = 3
  case upsideDownMirrored = 4
  case transposed = 5
  case quarterRight = 6
  case transposedUpsideDown = 7
  case quarterLeft = 8

  /// Out of the TIFF structure that EXIF data is: byte order, offset of the first directory, its entries of twelve
  /// bytes.
  ///
  /// Whatever is not understood means upright: nothing in these bytes is believed.
  init(exif bytes: [UInt8]) {
    self = Orientation.find(bytes) ?? .upright
  }

  private static func find(_ bytes: [UInt8]) -> Orientation? {
    let isBigEndian: Bool
    switch bytes.prefix(4) {
    case [0x49, 0x49, 42, 0]: isBigEndian = false
    case [0x4D, 0x4D, 0, 42]: isBigEndian = true
    default: return nil
    }
    func number(at offset: Int, size: Int) -> Int? {
      guard offset >= 0, offset + size <= bytes.count else { return nil }
      let part = bytes[offset..<offset + size]
      return (isBigEndian ? Array(part) : part.reversed()).reduce(0) { $0 << 8 | Int($1) }
    }
    guard let directory = number(at: 4, size: 4), let count = number(at: directory, size: 2) else { return nil }
    for entry in 0..<count {
      let start = directory + 2 + 12 * entry
      guard let tag = number(at: start, size: 2) else { return nil }
      // Type 3, a 16-bit number, one of it, in the first two of the four bytes for the value.
      if tag == 274, number(at: start + 2, size: 2) == 3, number(at: start + 4, size: 4) == 1 {
        return number(at: start + 8, size: 2).flatMap { Orientation(rawValue: UInt16($0)) }
      }
    }
    return nil
  }
}

extension Picture {
  /// The picture turned as the orientation says.
  func oriented(_ orientation: Orientation) -> Picture {
    let (w, h) = (width - 1, height - 1)
    return switch orientation {
    case .upright: self
    case .mirrored: mapped(width: width, height: height) { x, y in (w - x, y) }
    case .upsideDown: mapped(width: width, height: height) { x, y in (w - x, h - y) }
    case .upsideDownMirrored: mapped(width: width, height: height) { x, y in (x, h - y) }
    case .transposed: mapped(width: height, height: width) { x, y in (y, x) }
    case .quarterRight: mapped(width: height, height: width) { x, y in (y, h - x) }
    case .transposedUpsideDown: mapped(width: height, height: width) { x, y in (w - y, h - x) }
    case .quarterLeft: mapped(width: height, height: width) { x, y in (w - y, x) }
    }
  }
}
