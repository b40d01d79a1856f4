import Foundation

/// A curve over the steps of a run: each value as a light line, their running mean as a strong one.
package struct LineChart: Sendable {
  package let title: String
  package let xLabel: String
  package let yLabel: String
  /// Where and how much; a value that is not finite is left out.
  package let points: [(x: Double, y: Double)]
  package let width: Int
  package let height: Int

  /// - Precondition: the chart is at least 200 pixels wide and high.
  package init(
    title: String = "", xLabel: String = "step", yLabel: String = "loss", points: [(x: Double, y: Double)],
    width: Int = 960, height: Int = 540
  ) {
    precondition(width >= 200 && height >= 200)
    self.title = title
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.points = points.filter { $0.x.isFinite && $0.y.isFinite && abs($0.x) < 1e15 && abs($0.y) < 1e30 }
    self.width = width
    self.height = height
  }

  /// The chart, drawn.
  package var picture: Picture {
    let ink = Color(60, 60, 60)
    let line = TextLayout.lineHeight(2)
    let xAxis = Axis(points.map(\.x), lines: width / 120)
    let yAxis = Axis(points.map(\.y), lines: height / 60)
    let labelWidth = yAxis.ticks.map { TextLayout.width(yAxis.label($0), 2) }.max() ?? 0

    let left = 24 + labelWidth + 10
    let top = 24 + (title.isEmpty ? 0 : TextLayout.lineHeight(3)) + line
    let right = width - 32
    let bottom = height - 24 - 2 * line
    func place(_ point: (x: Double, y: Double)) -> (x: Float, y: Float) {
      (
        Float(left) + Float(xAxis.fraction(point.x)) * Float(right - left),
        Float(bottom) - Float(yAxis.fraction(point.y)) * Float(bottom - top)
      )
    }

    var canvas = Canvas(width: width, height: height)
    canvas.draw(title, x: 24, y: 20, scale: 3, Color(30, 30, 30))
    canvas.draw(yLabel, x: 24, y: top - line - 6, scale: 2, ink)
    for tick in yAxis.ticks {
      let y = Int(place((xAxis.range.lowerBound, tick)).y)
      canvas.fill(x: left, y: y, width: right - left, height: 1, Color(228, 228, 228))
      let text = yAxis.label(tick)
      canvas.draw(text, x: left - 10 - TextLayout.width(text, 2), y: y - 7, scale: 2, ink)
    }
    for tick in xAxis.ticks {
      let x = Int(place((tick, yAxis.range.lowerBound)).x)
      canvas.fill(x: x, y: bottom, width: 1, height: 6, Color(120, 120, 120))
      let text = xAxis.label(tick)
      let textWidth = TextLayout.width(text, 2)
      canvas.draw(text, x: min(max(x - textWidth / 2, 0), width - textWidth), y: bottom + 11, scale: 2, ink)
    }
    canvas.fill(x: left, y: bottom, width: right - left + 1, height: 1, Color(120, 120, 120))
    let xLabelWidth = TextLayout.width(xLabel, 2)
    canvas.draw(xLabel, x: left + (right - left - xLabelWidth) / 2, y: bottom + 11 + line, scale: 2, ink)

    if points.isEmpty {
      canvas.draw("no values yet", x: left + 20, y: (top + bottom) / 2, scale: 2, Color(150, 150, 150))
    } else if points.count == 1 {
      let (x, y) = place(points[0])
      canvas.fill(x: Int(x) - 3, y: Int(y) - 3, width: 6, height: 6, Color(31, 95, 191))
    } else {
      canvas.stroke(points.map(place), thickness: 1, Color(176, 205, 240))
      canvas.stroke(Self.smoothed(points).map(place), thickness: 2.6, Color(31, 95, 191))
    }
    return canvas.picture
  }

  /// Each point's mean with its neighbours, a twentieth of all points to either side where there are so many.
  package static func smoothed(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
    var sums = [0.0]
    for point in points { sums.append(sums[sums.count - 1] + point.y) }
    return points.indices.map { index in
      let first = max(index - points.count / 20, 0)
      let end = min(index + points.count / 20 + 1, points.count)
      return (points[index].x, (sums[end] - sums[first]) / Double(end - first))
    }
  }
}
