/// A picture in the making.
struct Canvas {
  let width: Int
  let height: Int
  private var pixels: [UInt8]

  init(width: Int, height: Int, background: Color = .white) {
    self.width = width
    self.height = height
    pixels = Picture(width: width, height: height, color: background).pixels
  }

  var picture: Picture { Picture(width: width, height: height, pixels: pixels) }

  /// Mixes a color into one pixel; outside nothing happens.
  mutating func blend(_ color: Color, x: Int, y: Int, coverage: Float = 1) {
    guard x >= 0, y >= 0, x < width, y < height, coverage > 0 else { return }
    let start = (y * width + x) * 3
    for (channel, level) in [color.red, color.green, color.blue].enumerated() {
      let old = Float(pixels[start + channel])
      pixels[start + channel] = UInt8((old + (Float(level) - old) * min(coverage, 1)).rounded())
    }
  }

  mutating func fill(x: Int, y: Int, width: Int, height: Int, _ color: Color) {
    for row in max(y, 0)..<max(0, min(y + height, self.height)) where row >= y {
      for column in max(x, 0)..<max(max(x, 0), min(x + width, self.width)) { blend(color, x: column, y: row) }
    }
  }

  /// Puts a picture's top left corner at (x, y).
  mutating func draw(_ picture: Picture, x: Int, y: Int) {
    guard x >= 0, y >= 0, x + picture.width <= width, y + picture.height <= height else { return }
    for row in 0..<picture.height {
      let target = ((y + row) * width + x) * 3
      let source = row * picture.width * 3
      pixels.replaceSubrange(
        target..<target + picture.width * 3, with: picture.pixels[source..<source + picture.width * 3])
    }
  }

  /// Writes one line of text with its top left corner at (x, y), each dot of the font `scale` pixels wide.
  mutating func draw(_ text: String, x: Int, y: Int, scale: Int, _ color: Color) {
    var left = x
    for character in text {
      let glyph = Glyphs.glyph(character)
      for (row, dots) in glyph.rows.enumerated() {
        for column in 0..<glyph.width where dots >> UInt8(column) & 1 == 1 {
          fill(x: left + column * scale, y: y + row * scale, width: scale, height: scale, color)
        }
      }
      left += (glyph.width + 1) * scale
    }
  }

  /// Draws connected lines of this thickness with smooth edges. Where they cross themselves they are no darker.
  mutating func stroke(_ points: [(x: Float, y: Float)], thickness: Float, _ color: Color) {
    var coverage = [Float](repeating: 0, count: width * height)
    let reach = thickness / 2 + 1
    for (a, b) in zip(points, points.dropFirst()) {
      let (dx, dy) = (b.x - a.x, b.y - a.y)
      let squared = max(dx * dx + dy * dy, 1e-9)
      let columns = Int(max(0, min(a.x, b.x) - reach))...Int(max(0, min(Float(width - 1), max(a.x, b.x) + reach)))
      let rows = Int(max(0, min(a.y, b.y) - reach))...Int(max(0, min(Float(height - 1), max(a.y, b.y) + reach)))
      for y in rows where y < height {
        for x in columns where x < width {
          // The distance from the pixel's centre to the nearest point of the line.
          let (px, py) = (Float(x) + 0.5 - a.x, Float(y) + 0.5 - a.y)
          let along = min(max((px * dx + py * dy) / squared, 0), 1)
          let (ex, ey) = (px - along * dx, py - along * dy)
          let part = thickness / 2 + 0.5 - (ex * ex + ey * ey).squareRoot()
          coverage[y * width + x] = max(coverage[y * width + x], min(part, min(thickness, 1)))
        }
      }
    }
    for y in 0..<height {
      for x in 0..<width where coverage[y * width + x] > 0 {
        blend(color, x: x, y: y, coverage: coverage[y * width + x])
      }
    }
  }
}

/// Lines of text and the room they take.
enum TextLayout {
  /// From one line's top to the next one's.
  static func lineHeight(_ scale: Int) -> Int { (Glyphs.height + 2) * scale }

  static func width(_ text: String, _ scale: Int) -> Int {
    max(0, text.reduce(-1) { $0 + Glyphs.glyph($1).width + 1 }) * scale
  }

  /// Breaks a text between words where it would be wider than `limit`, and a word that is wider by itself within.
  static func wrap(_ text: String, limit: Int, _ scale: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for var word in text.split(whereSeparator: \.isWhitespace).map(String.init) {
      if !line.isEmpty, width(line + " " + word, scale) <= limit {
        line += " " + word
        continue
      }
      if !line.isEmpty { lines.append(line) }
      while width(word, scale) > limit, word.count > 1 {
        var part = word
        while width(part, scale) > limit, part.count > 1 { part.removeLast() }
        lines.append(part)
        word.removeFirst(part.count)
      }
      line = word
    }
    return line.isEmpty ? lines : lines + [line]
  }
}
