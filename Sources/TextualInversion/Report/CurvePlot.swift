import Foundation
import Images

/// Curves over the steps of runs as inline SVG, with axes. Colours are the style's: curve N has the class `curve-N`.
struct CurvePlot {
  struct Curve {
    var label: String
    /// x rising; what is not finite is left out.
    var points: [(x: Double, y: Double)]
    /// Its colour among the style's eight.
    var color = 0
    /// Whether single values are drawn light behind their running mean, which is what can be read of a loss.
    var isSmoothed = false
    /// Whether each value is marked: where there are few.
    var isMarked = false
  }

  var title: String
  /// What stands beside the numbers: `degrees`.
  var unit = ""
  var curves: [Curve]
  /// Whether single values are drawn behind a smoothed curve.
  var showsValues = true

  // In the SVG's own units, which are pixels on a phone.
  private static let (width, height) = (360.0, 220.0)
  private static let (left, right, top, bottom) = (46.0, 350.0, 10.0, 186.0)
  /// More points than pixels show nothing more.
  private static let mostPoints = 400

  /// The figure; nil where no curve has a value.
  var html: HTML? {
    let curves = curves.map(Self.sound).filter { !$0.points.isEmpty }
    guard !curves.isEmpty else { return nil }
    let means = curves.map { $0.isSmoothed ? Self.thinned(LineChart.smoothed($0.points)) : Self.thinned($0.points) }
    let values = curves.map { $0.isSmoothed && showsValues ? Self.thinned($0.points) : [] }
    let all = (means + values).joined()
    let xAxis = Axis(all.map(\.x), lines: 5)
    let yAxis = Axis(Self.room(all.map(\.y)), lines: 5)
    func place(_ point: (x: Double, y: Double)) -> String {
      let x = Self.left + xAxis.fraction(point.x) * (Self.right - Self.left)
      let y = Self.bottom - yAxis.fraction(point.y) * (Self.bottom - Self.top)
      return String(format: "%.1f,%.1f", x, y)
    }
    func line(_ points: [(x: Double, y: Double)], _ kind: String, _ color: Int) -> HTML {
      guard points.count > 1 else { return "" }
      return "<polyline class=\"\(kind) curve-\(color)\" points=\"\(points.map(place).joined(separator: " "))\"/>"
    }
    func marks(_ points: [(x: Double, y: Double)], _ color: Int) -> [HTML] {
      points.map { point -> HTML in
        let parts = place(point).split(separator: ",").map(String.init)
        return "<circle class=\"mark curve-\(color)\" r=\"2.5\" cx=\"\(parts[0])\" cy=\"\(parts[1])\"/>"
      }
    }
    var lines: [HTML] = []
    for (curve, values) in zip(curves, values) { lines.append(line(values, "values", curve.color)) }
    for (curve, means) in zip(curves, means) {
      lines.append(line(means, "mean", curve.color))
      if curve.isMarked || means.count == 1 { lines += marks(means, curve.color) }
    }
    let legend: [HTML] =
      curves.count < 2
      ? []
      : curves.map { curve in
        "<li><svg class=\"key\" viewBox=\"0 0 20 8\" aria-hidden=\"true\"><path class=\"mean curve-\(curve.color)\" d=\"M0 4H20\"/></svg>\(curve.label)</li>"
      }
    let key: HTML = legend.isEmpty ? "" : "<ul class=\"legend\">\(legend)</ul>"
    return """
      <figure class="plot"><figcaption>\(title)\(unit.isEmpty ? "" : ", \(unit)")</figcaption>
      <svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img" aria-label="\(description(curves, means))">
      \(grid(xAxis, yAxis))\(lines)
      </svg>\(key)</figure>
      """
  }

  /// The curves in words, for those who can't see them.
  private func description(_ curves: [Curve], _ means: [[(x: Double, y: Double)]]) -> String {
    let parts = zip(curves, means).compactMap { curve, points -> String? in
      guard let first = points.first, let last = points.last else { return nil }
      let ends = String(format: "from %.4g at step %.0f to %.4g at step %.0f", first.y, first.x, last.y, last.x)
      return "\(curve.label) \(ends)"
    }
    return "\(title): \(parts.joined(separator: "; "))"
  }

  private func grid(_ xAxis: Axis, _ yAxis: Axis) -> HTML {
    func number(_ value: Double) -> String { String(format: "%.1f", value) }
    let rows = yAxis.ticks.map { tick -> HTML in
      let y = Self.bottom - yAxis.fraction(tick) * (Self.bottom - Self.top)
      return
        "<path class=\"grid\" d=\"M\(number(Self.left)) \(number(y))H\(number(Self.right))\"/><text x=\"\(number(Self.left - 6))\" y=\"\(number(y + 4))\" text-anchor=\"end\">\(yAxis.label(tick))</text>"
    }
    let columns = xAxis.ticks.map { tick -> HTML in
      let x = Self.left + xAxis.fraction(tick) * (Self.right - Self.left)
      return
        "<path class=\"axis\" d=\"M\(number(x)) \(number(Self.bottom))v4\"/><text x=\"\(number(x))\" y=\"\(number(Self.bottom + 17))\" text-anchor=\"middle\">\(xAxis.label(tick))</text>"
    }
    let base: HTML =
      "<path class=\"axis\" d=\"M\(number(Self.left)) \(number(Self.bottom))H\(number(Self.right))\"/><text x=\"\(number((Self.left + Self.right) / 2))\" y=\"\(number(Self.height - 3))\" text-anchor=\"middle\">step</text>"
    return "\(rows)\(columns)\(base)"
  }

  /// With room above and below what hardly moves: a row that keeps its length is a straight line, not its last digit's noise.
  private static func room(_ values: [Double]) -> [Double] {
    guard let low = values.min(), let high = values.max(), high - low < 1e-3 * abs(high) else { return values }
    return values + [low - 0.1 * abs(low), high + 0.1 * abs(high)]
  }

  private static func sound(_ curve: Curve) -> Curve {
    var curve = curve
    curve.points = curve.points.filter { $0.x.isFinite && $0.y.isFinite && abs($0.x) < 1e15 && abs($0.y) < 1e30 }
    return curve
  }

  /// At most so many points, evenly spaced, the first and the last among them.
  private static func thinned(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
    guard points.count > mostPoints else { return points }
    return (0..<mostPoints).map { points[$0 * (points.count - 1) / (mostPoints - 1)] }
  }
}
