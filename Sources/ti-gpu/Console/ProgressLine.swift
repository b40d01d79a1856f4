import Foundation

/// How far a long job is, with the time left: one line drawn over on a terminal, a line now and then in a log.
final class ProgressLine {
  /// The number of the last step, as far as it is known.
  var total: Int
  /// Whether the last step may be an earlier one.
  var isBound: Bool
  private let start = Date()
  private var first: Int
  private var lastDrawn = Date.distantPast
  private var lastWidth = 0

  /// - Parameters:
  ///   - total: the number of the last step.
  ///   - isBound: whether the last step may be an earlier one.
  ///   - done: steps that were done before now.
  init(total: Int, isBound: Bool = false, done: Int = 0) {
    self.total = total
    self.isBound = isBound
    first = done
  }

  /// Shows that step `done` is done.
  func update(_ done: Int, _ details: String) {
    let isLast = done >= total
    let interval = Console.isTerminal ? 0.1 : 10
    guard isLast || Date().timeIntervalSince(lastDrawn) >= interval else { return }
    lastDrawn = Date()
    let elapsed = Date().timeIntervalSince(start)
    let perStep = elapsed / Double(max(1, done - first))
    let left = perStep * Double(total - done)
    let most = isBound && !isLast ? "at most " : ""
    let line =
      "step \(done)/\(most)\(total)  \(details)  \(Self.duration(perStep))/step  "
      + (isLast ? "took \(Self.duration(elapsed))" : "\(most)\(Self.duration(left)) left")
    if Console.isTerminal {
      // A line that reaches the last column would be continued on the next one, and never be drawn over.
      let limit = Console.columns - 1
      let drawn = line.prefix(columns: limit)
      let padding = String(repeating: " ", count: max(0, min(lastWidth, limit) - drawn.columns))
      Console.write("\r" + drawn + padding + (isLast ? "\n" : ""))
      lastWidth = drawn.columns
    } else {
      Console.note(line)
    }
  }

  /// Leaves the line as it is, for other output to follow.
  func end() {
    if Console.isTerminal && lastWidth > 0 { Console.write("\n") }
    lastWidth = 0
  }

  /// Seconds as a person reads them: `85 ms`, `4.2 s`, `3 min 20 s`, `1 h 05 min`.
  static func duration(_ seconds: Double) -> String {
    switch seconds {
    case ..<1: return "\(Int((seconds * 1000).rounded())) ms"
    case ..<60: return String(format: "%.1f s", seconds)
    case ..<3600: return "\(Int(seconds) / 60) min \(Int(seconds) % 60) s"
    default: return String(format: "%d h %02d min", Int(seconds) / 3600, Int(seconds) / 60 % 60)
    }
  }
}
