import ModelFiles
import Tensors

/// A step, or a measurement, that gave no numbers.
public struct NumericalTrouble: Error, Sendable, CustomStringConvertible {
  /// What is no longer a number.
  public enum Subject: Sendable, Hashable {
    /// The loss of the rows as they stand, or its gradient: the rows may be what is wrong.
    case loss
    /// The rows that the update made, one of which has this norm.
    case rows(norm: Float)
    /// What the rows that the update made were measured at.
    case heldOutLoss
  }

  public let subject: Subject
  /// The step that was tried, from 1.
  public let step: Int

  /// As what ends a run.
  func giving(_ attempts: String = "") -> UserError {
    UserError(.badData, "\(self)\(attempts)", remedy: "try a lower learning rate, or --precision f32")
  }

  public var description: String {
    switch subject {
    case .loss: "the loss or its gradient is no longer a number at step \(step)"
    case .heldOutLoss: "the held-out loss is no longer a number after step \(step)"
    case .rows(let norm): "training diverges: after step \(step) a row's norm is \(norm), far beyond any word's"
    }
  }
}

/// What a run knows of its trouble with numbers; part of its state.
public struct Recovery: Sendable, Hashable, Codable {
  /// What the learning rate is multiplied with: halved at each trouble.
  public private(set) var rateFactor: Float = 1
  /// Times in a row that the run went back.
  public private(set) var attempts = 0
  /// The step of the last trouble: one beyond it is out of it.
  private var step = 0

  public init() {}

  /// A run gives up where it comes to nothing so often.
  static let mostAttempts = 5

  /// From a checkpoint, whose numbers are checked.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    rateFactor = try container.decode(Float.self, forKey: .rateFactor)
    attempts = try container.decode(Int.self, forKey: .attempts)
    step = try container.decode(Int.self, forKey: .step)
    guard rateFactor > 0, rateFactor <= 1, (0...Self.mostAttempts).contains(attempts), step >= 0 else {
      throw DecodingError.dataCorruptedError(
        forKey: .rateFactor, in: container,
        debugDescription: "a rate of \(rateFactor) after \(attempts) attempts at step \(step)")
    }
  }

  /// Notes a step that was taken.
  mutating func succeeded(_ step: Int) { if step > self.step { attempts = 0 } }

  /// Notes trouble. Returns whether there is another attempt; where there is none, whoever goes on with the run later begins as before
  /// the first.
  mutating func failed(_ step: Int) -> Bool {
    guard attempts < Self.mostAttempts else {
      rateFactor *= Float(1 << attempts)
      attempts = 0
      self.step = 0
      return false
    }
    attempts += 1
    rateFactor /= 2
    self.step = max(self.step, step)
    return true
  }
}

extension TrainingState {
  /// Goes back to the last good state, and halves the rate. Returns whether there is another attempt.
  ///
  /// Rows that the update broke are not in the state yet; rows that no longer give a loss are, and those before them are taken
  /// where there are any.
  mutating func rollBack(from trouble: NumericalTrouble) -> Bool {
    if trouble.subject == .loss, let good = previous {
      parameters = good.parameters
      optimizer = good.optimizer
      step -= 1
      previous = nil
    }
    return recovery.failed(trouble.step)
  }
}

/// Rows and what the rule of update remembers of them, at one step.
public struct TrainingSnapshot: Sendable, Equatable {
  public let parameters: Parameters
  public let optimizer: [ParameterName: OptimizerState]
}

extension OperationError {
  /// Whether the device failed, and not what was asked of it: on a new backend the same may succeed.
  var isOfTheDevice: Bool { code == .deviceLost || code == .deviceFailure }
}
