import Images

/// How alike pictures are, as far as a few hundred numbers of each tell: enough for what would be learned by mistake.
///
/// The bounds were chosen on the demo's concepts, on 12 to 60 sets each of five pictures that its world draws (an object on many
/// grounds or on one, a style that shows many things or one), on drawn sets like photos (textured ground, light from a side, noise)
/// and on 14 photographs that image libraries carry.
struct PictureLikeness: Sendable {
  /// Two pictures as alike as this are one, saved twice: at another size, brighter, mirrored, as a JPEG of quality 40. Those reach .98
  /// (flat drawings .92), different pictures of one drawn thing on one ground at most .976, photographs .84. A cut-off edge hides it.
  static let duplicate = 0.98
  /// Grounds whose mean colours are no further apart, in levels of a channel, and whose colours place for place are no further than
  /// the second, are one: drawn ones reach 9 and 22, drawn photos 19 and 57; different ones differ by 75 at least somewhere among
  /// five pictures.
  static let ground = (mean: 25.0, places: 60.0)
  /// Pictures whose outlines are as alike as this in the median show one thing: 120 of 120 drawn sets of one shape in flat colours or
  /// outlined reach .74, sketches of one .58; sets of several shapes at most .74. Photographs have no such outlines.
  static let outline = 0.76

  /// Of the picture in 16 x 16, without the mean of each channel and of length one; zeros where it has one colour.
  private let thumbnail: [Double]
  private let mirrored: [Double]
  /// The colours round the edge in 8 x 8, all channels of a place together.
  private let rim: [Double]
  /// What stands out from the edge's colour, in the middle and of one size, 12 x 12, without its mean and of length one.
  private let outlines: [Double]

  init(_ picture: Picture) {
    let small = picture.resized(width: 16, height: 16)
    thumbnail = Self.normalized(small.pixels.map(Double.init), channels: 3)
    mirrored = Self.normalized(small.flipped.pixels.map(Double.init), channels: 3)
    let side = 8
    let pixels = picture.resized(width: side, height: side).pixels
    rim = (0..<side * side).filter { place in
      let (y, x) = place.quotientAndRemainder(dividingBy: side)
      return y == 0 || x == 0 || y == side - 1 || x == side - 1
    }.flatMap { place in pixels[place * 3..<place * 3 + 3].map(Double.init) }
    outlines = Self.normalized(Self.outline(picture), channels: 1)
  }

  /// The correlation of two pictures, or of one with the other's mirror image, whichever is more; 1 of pictures of one colour where
  /// that is the same.
  func correlation(_ other: PictureLikeness) -> Double {
    if !thumbnail.contains(where: { $0 != 0 }), !other.thumbnail.contains(where: { $0 != 0 }) {
      return groundDistance(other).mean < 1 ? 1 : 0
    }
    return max(Self.product(thumbnail, other.thumbnail), Self.product(thumbnail, other.mirrored))
  }

  /// How far the grounds' mean colours, and their colours place for place, lie apart: root mean squares over the channels.
  func groundDistance(_ other: PictureLikeness) -> (mean: Double, places: Double) {
    let differences = zip(rim, other.rim).map { $0 - $1 }
    let places = Double(differences.count / 3)
    var means = [0.0, 0, 0]
    for (index, difference) in differences.enumerated() { means[index % 3] += difference / places }
    func root(_ values: [Double]) -> Double {
      (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()
    }
    return (root(means), root(differences))
  }

  /// The correlation of two outlines.
  func outlineCorrelation(_ other: PictureLikeness) -> Double { Self.product(outlines, other.outlines) }

  private static func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

  private static func normalized(_ values: [Double], channels: Int) -> [Double] {
    var means = Array(repeating: 0.0, count: channels)
    for (index, value) in values.enumerated() {
      means[index % channels] += value / Double(values.count / channels)
    }
    let centered = values.enumerated().map { $0.element - means[$0.offset % channels] }
    let length = product(centered, centered).squareRoot()
    return length > 1e-9 ? centered.map { $0 / length } : Array(repeating: 0, count: values.count)
  }

  /// How far each of 32 x 32 places is from the median colour of the edge, from 0 to 1 with the faint ones left out; then seen through
  /// a window of 12 x 12 about its centre, twice its deviation to each side.
  private static func outline(_ picture: Picture) -> [Double] {
    let (side, window) = (32, 12)
    let pixels = picture.resized(width: side, height: side).pixels.map(Double.init)
    func middle(_ values: [Double]) -> Double {
      let sorted = values.sorted()
      return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
    let edge = (0..<side * side).filter { place in
      let (y, x) = place.quotientAndRemainder(dividingBy: side)
      return min(x, y) < 2 || max(x, y) >= side - 2
    }
    let ground = (0..<3).map { channel in middle(edge.map { pixels[$0 * 3 + channel] }) }
    var weights = (0..<side * side).map { place in
      (0..<3).reduce(0.0) {
        let difference = pixels[place * 3 + $1] - ground[$1]
        return $0 + difference * difference
      }.squareRoot()
    }
    let strong = max(1e-9, weights.sorted()[(weights.count - 1) * 9 / 10])
    weights = weights.map { min($0 / strong, 1) < 0.25 ? 0 : min($0 / strong, 1) }
    let total = weights.reduce(0, +)
    guard total > 0 else { return Array(repeating: 0, count: window * window) }
    func mean(_ value: (Double, Double) -> Double) -> Double {
      weights.enumerated().reduce(0.0) { $0 + $1.element * value(Double($1.offset % side), Double($1.offset / side)) }
        / total
    }
    let (x, y) = (mean { x, _ in x }, mean { _, y in y })
    let deviation = mean { ($0 - x) * ($0 - x) + ($1 - y) * ($1 - y) }.squareRoot()
    func position(_ index: Int, _ center: Double) -> Int {
      Int((center + ((Double(index) + 0.5) / Double(window) * 2 - 1) * 2 * deviation).rounded())
    }
    return (0..<window * window).map { place in
      let (row, column) = place.quotientAndRemainder(dividingBy: window)
      let (y, x) = (position(row, y), position(column, x))
      return (0..<side).contains(x) && (0..<side).contains(y) ? weights[y * side + x] : 0
    }
  }
}
