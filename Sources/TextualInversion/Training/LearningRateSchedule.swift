import Foundation

/// How the learning rate moves over a run; the factors are those of diffusers' `get_scheduler`.
public enum LearningRateSchedule: String, Sendable, Codable, CaseIterable {
  case constant
  /// Falls in a straight line to zero at the last step.
  case linear
  /// Falls along half a cosine to zero at the last step.
  case cosine

  /// What to multiply the base rate with at step `step` (from 0) of `steps`, after a linear warm-up over `warmup` steps.
  public func factor(step: Int, steps: Int, warmup: Int) -> Double {
    if step < warmup { return Double(step) / Double(max(1, warmup)) }
    let progress = Double(step - warmup) / Double(max(1, steps - warmup))
    switch self {
    case .constant: return 1
    case .linear: return max(0, 1 - progress)
    case .cosine: return max(0, 0.5 * (1 + cos(.pi * progress)))
    }
  }
}
