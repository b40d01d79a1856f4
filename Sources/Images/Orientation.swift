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

extension Orientation {
  /// Whether rows become columns.
  fileprivate var isLying: Bool { rawValue >= Self.transposed.rawValue }

  /// Where a pixel of the turned picture lies in the stored one, of which `w` and `h` are the last column and row.
  fileprivate func source(_ x: Int, _ y: Int, _ w: Int, _ h: Int) -> (x: Int, y: Int) {
    switch self {
    case .upright: (x, y)
    case .mirrored: (w - x, y)
    case .upsideDown: (w - x, h - y)
    case .upsideDownMirrored: (x, h - y)
    case .transposed: (y, x)
    case .quarterRight: (y, h - x)
    case .transposedUpsideDown: (w - y, h - x)
    case .quarterLeft: (w - y, x)
    }
  }
}

extension Picture {
  /// The picture turned as the orientation says.
  func oriented(_ orientation: Orientation) -> Picture {
    guard orientation != .upright else { return self }
    let (w, h) = (width - 1, height - 1)
    return mapped(width: orientation.isLying ? height : width, height: orientation.isLying ? width : height) { x, y in
      orientation.source(x, y, w, h)
    }
  }
}

extension Mask {
  /// The mask turned as the orientation says.
  func oriented(_ orientation: Orientation) -> Mask {
    guard orientation != .upright else { return self }
    let (columns, rows) = orientation.isLying ? (height, width) : (width, height)
    var turned: [UInt8] = []
    turned.reserveCapacity(levels.count)
    for y in 0..<rows {
      for x in 0..<columns {
        let place = orientation.source(x, y, width - 1, height - 1)
        turned.append(levels[place.y * width + place.x])
      }
    }
    return Mask(checked: columns, rows, turned)
  }
}
