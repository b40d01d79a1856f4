import Foundation

/// What a run's held-out loss says of its word at the end.
public struct HeldOutConclusion: Sendable, Hashable, Codable {
  public enum Verdict: String, Sendable, Codable {
    /// The loss fell, and had come to rest.
    case learned
    /// A good part of the fall came late, or the way was short: more steps will bring more.
    case falling
    /// It did not fall under the initializer's.
    case unlearned
    /// The model sees nothing in the pictures, whatever the word.
    case unlearnable
  }

  /// The initializer's own loss.
  public let initial: Float
  /// That of the rows that the run leaves, and their step.
  public let loss: Float
  public let step: Int
  /// The step with which the word had settled, of a run that was to end then.
  public let settled: Int?
  public let verdict: Verdict

  /// A loss that fell by less is within what rows differ by that learned nothing.
  private static let leastFall = 0.01
  /// A larger share of the fall in the last quarter of the steps says that the end came too early.
  private static let lateShare = 0.25
  /// On a short way a fall by less may be the beginning of a larger one.
  private static let leastFallOfAShortWay = 0.1
  /// A model that knows what is drawn leaves a fifth of what one leaves that does not; noise it leaves as it is.
  private static let leastUninformed = 0.8

  /// Nil for a run that is not at its end, or was not measured from its beginning.
  ///
  /// - Parameter isShortWay: whether the steps were few, or small.
  init?(_ record: HeldOutRecord, settled: Int?, isShortWay: Bool = false) {
    guard let initial = record.initial, initial.loss > 0, let last = record.last, let result = record.result,
      last.step > 0
    else { return nil }
    self.initial = initial.loss
    self.settled = settled
    loss = result.loss
    step = result.step
    let early = record.losses.filter { 4 * $0.step <= 3 * last.step }.map(\.loss).min() ?? initial.loss
    let fall = Double(initial.loss) - Double(result.loss)
    let share = fall / Double(initial.loss)
    verdict =
      if let uninformed = record.uninformed, Double(result.loss) > Self.leastUninformed * Double(uninformed) {
        .unlearnable
      } else if isShortWay && share < Self.leastFallOfAShortWay {
        .falling
      } else if share < Self.leastFall {
        .unlearned
      } else if Double(early - result.loss) > Self.lateShare * fall {
        .falling
      } else {
        .learned
      }
  }

  /// Whether more of the same would not help either.
  public var isTrouble: Bool { verdict == .unlearned || verdict == .unlearnable }

  /// How far below the initializer's the loss is, as a share of it.
  public var fall: Float { (initial - loss) / initial }

  /// One line for a person.
  public var line: String {
    let percent = String(format: "%.0f", abs(fall) * 100)
    let measured =
      "the held-out loss is \(loss), \(percent) % \(fall < 0 ? "above" : "below") the initializer's own, \(initial)"
    return switch verdict {
    case .learned: "\(measured): the word is learned" + (settled.map { ", and had settled by step \($0)" } ?? "")
    case .falling: "\(measured), and has not come to rest: add steps (--steps)"
    case .unlearned: "\(measured): nothing was learned; start from another word (--initializer) or take other pictures"
    case .unlearnable:
      "\(measured): the model sees as little in the pictures as in noise, so no word for them can be learned; look at the pictures, "
        + "and whether the model is theirs"
    }
  }
}
