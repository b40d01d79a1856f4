extension Picture {
  /// A picture that is nothing but a word's name and what is said of it, for cards that have no other.
  package static func card(title: String, footer: [String]) -> Picture {
    let (side, margin) = (512, 24)
    var canvas = Canvas(width: side, height: side, background: Color(236, 236, 228))
    let lines = TextLayout.wrap(title, limit: side - 2 * margin, 5).prefix(6)
    var y = (side - lines.count * TextLayout.lineHeight(5)) / 2
    for line in lines {
      canvas.draw(line, x: (side - TextLayout.width(line, 5)) / 2, y: y, scale: 5, Color(32, 32, 40))
      y += TextLayout.lineHeight(5)
    }
    let last = footer.joined(separator: "  ")
    canvas.draw(
      TextLayout.wrap(last, limit: side - 2 * margin, 2).first ?? "", x: margin,
      y: side - margin - TextLayout.lineHeight(2), scale: 2, Color(96, 96, 104))
    return canvas.picture
  }

  /// The picture with a word's name on a dark band along its upper edge.
  package func captioned(_ title: String) -> Picture {
    let scale = max(1, width / 320)
    let lines = TextLayout.wrap(title, limit: max(width - 8 * scale, 1), scale).prefix(1)
    var canvas = Canvas(width: width, height: height)
    canvas.draw(self, x: 0, y: 0)
    for line in lines {
      canvas.fill(x: 0, y: 0, width: width, height: TextLayout.lineHeight(scale) + 4 * scale, Color(24, 24, 28))
      canvas.draw(line, x: 4 * scale, y: 3 * scale, scale: scale, Color(240, 240, 240))
    }
    return canvas.picture
  }
}
