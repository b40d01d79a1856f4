/// Pictures in rows on white, with what they are written beside and above them.
package struct ContactSheet: Sendable {
  package struct Row: Sendable {
    /// Stands to the left of the pictures.
    package let label: String
    package let pictures: [Picture]
    /// Each stands under its picture; there may be fewer than pictures, or none.
    package let captions: [String]

    package init(_ label: String, _ pictures: [Picture], captions: [String] = []) {
      self.label = label
      self.pictures = pictures
      self.captions = captions
    }
  }

  package let title: String
  /// Each stands above its column; there may be fewer than columns, or none.
  package let columns: [String]
  package let rows: [Row]
  /// The side of the square that a picture is fitted into: a small one is enlarged a whole number of times, a large
  /// one shrunk.
  package let side: Int

  /// - Precondition: `side` is at least 1.
  package init(title: String = "", columns: [String] = [], rows: [Row], side: Int = 256) {
    precondition(side > 0)
    self.title = title
    self.columns = columns
    self.rows = rows
    self.side = side
  }

  /// The sheet, drawn.
  package var picture: Picture {
    let (margin, gap, scale) = (20, 10, 2)
    let ink = Color(40, 40, 40)
    let line = TextLayout.lineHeight(scale)

    // Measure: the width of the labels, of the columns; the height of the head and of each row.
    let pictures = rows.map { $0.pictures.map(fitted) }
    let labels = rows.map { TextLayout.wrap($0.label, limit: 220, scale) }
    let labelWidth = labels.joined().map { TextLayout.width($0, scale) }.max() ?? 0
    let left = margin + (labelWidth > 0 ? labelWidth + 2 * gap : 0)
    let columnCount = max(pictures.map(\.count).max() ?? 0, 1)
    let columnWidths = (0..<columnCount).map { column in
      max(pictures.compactMap { column < $0.count ? $0[column].width : nil }.max() ?? 0, side / 2)
    }
    let gridWidth = columnWidths.reduce(0, +) + gap * (columnCount - 1)
    let width = max(left + gridWidth + margin, min(TextLayout.width(title, scale + 1), 1200) + 2 * margin)
    let titleLines = TextLayout.wrap(title, limit: width - 2 * margin, scale + 1)
    let heads = columns.prefix(columnCount).enumerated().map {
      TextLayout.wrap($0.element, limit: columnWidths[$0.offset], scale)
    }
    let headHeight = (heads.map(\.count).max() ?? 0) * line
    let captions = rows.map { row in
      row.captions.prefix(row.pictures.count).enumerated().map {
        TextLayout.wrap($0.element, limit: columnWidths[$0.offset], scale)
      }
    }
    let rowHeights = rows.indices.map { row in
      let captionLines = captions[row].map(\.count).max() ?? 0
      let pictureHeight =
        (pictures[row].map(\.height).max() ?? 0) + (captionLines > 0 ? captionLines * line + gap / 2 : 0)
      return max(pictureHeight, labels[row].count * line)
    }
    let titleHeight = titleLines.isEmpty ? 0 : titleLines.count * TextLayout.lineHeight(scale + 1) + gap
    let height =
      2 * margin + titleHeight + headHeight + (headHeight > 0 ? gap / 2 : 0)
      + rowHeights.reduce(0, +) + gap * max(rows.count - 1, 0)

    // Draw, in the same order.
    var canvas = Canvas(width: width, height: height)
    var y = margin
    for (index, text) in titleLines.enumerated() {
      canvas.draw(text, x: margin, y: y + index * TextLayout.lineHeight(scale + 1), scale: scale + 1, ink)
    }
    y += titleHeight
    let lefts = columnWidths.indices.map { left + columnWidths[..<$0].reduce(0, +) + gap * $0 }
    for (column, lines) in heads.enumerated() {
      // The shorter heads sit on the same line as the longest one's last.
      let top = y + headHeight - lines.count * line
      for (index, text) in lines.enumerated() {
        canvas.draw(text, x: lefts[column], y: top + index * line, scale: scale, ink)
      }
    }
    y += headHeight + (headHeight > 0 ? gap / 2 : 0)
    for row in rows.indices {
      let pictureHeight = pictures[row].map(\.height).max() ?? 0
      let labelTop = y + max(0, pictureHeight - labels[row].count * line) / 2
      for (index, text) in labels[row].enumerated() {
        canvas.draw(text, x: margin, y: labelTop + index * line, scale: scale, ink)
      }
      for (column, picture) in pictures[row].enumerated() { canvas.draw(picture, x: lefts[column], y: y) }
      for (column, lines) in captions[row].enumerated() {
        for (index, text) in lines.enumerated() {
          canvas.draw(text, x: lefts[column], y: y + pictureHeight + gap / 2 + index * line, scale: scale, ink)
        }
      }
      y += rowHeights[row] + gap
    }
    return canvas.picture
  }

  private func fitted(_ picture: Picture) -> Picture {
    let longest = max(picture.width, picture.height)
    if longest <= side { return picture.enlarged(side / longest) }
    return picture.resized(
      width: max(1, (picture.width * side + longest / 2) / longest),
      height: max(1, (picture.height * side + longest / 2) / longest))
  }
}
