import Tensors

/// A learning rate and the step before which it holds: what the web UIs' notation `0.005:100,1e-3:500` says one behind the other.
public struct RateStage: Sendable, Hashable, Codable {
  public var rate: Float
  /// Steps from the run's beginning at which the stage ends; nil for the run's own end.
  public var end: Int?

  public init(rate: Float, end: Int?) {
    self.rate = rate
    self.end = end
  }

  /// Reads the notation: stages behind commas, each a rate and, behind a colon, where it ends; `-1`, or none, is the run's end. So a
  /// number alone is one stage.
  ///
  /// - Returns: nil where the text is none, its ends do not rise, or something follows the run's end.
  public static func stages(_ text: String) -> [RateStage]? {
    var stages: [RateStage] = []
    // The web UIs pass over what is empty, such as behind a last comma.
    let parts = text.split(separator: ",").map { $0.filter { !$0.isWhitespace } }.filter { !$0.isEmpty }
    for part in parts {
      let pair = part.split(separator: ":", omittingEmptySubsequences: false)
      guard pair.count <= 2, let rate = Float(pair[0]), rate.isFinite else { return nil }
      if let last = stages.last, last.end == nil { return nil }
      var end: Int?
      if pair.count == 2 {
        guard let number = Int(pair[1]), number > stages.last?.end ?? 0 || number == -1 else { return nil }
        end = number == -1 ? nil : number
      }
      stages.append(RateStage(rate: rate, end: end))
    }
    return stages.isEmpty ? nil : stages
  }
}

extension [RateStage] {
  /// The rate at step `step`, from 0: that of the first stage which has not ended.
  func rate(at step: Int) -> Float? { first { stage in stage.end.map { step < $0 } ?? true }?.rate }

  /// The notation.
  var text: String { map { stage in "\(stage.rate)" + (stage.end.map { ":\($0)" } ?? "") }.joined(separator: ",") }
}
