import Foundation
import Tensors

/// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019), as PyTorch orders it:
///
///     w ← w - rate · decay · w      m ← β₁ m + (1 - β₁) g      v ← β₂ v + (1 - β₂) g²
///     w ← w - rate / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)
///
/// Rows and moments are kept as 32-bit floats; a step's arithmetic is in double precision and rounded once.
public struct AdamW: Optimizer, Hashable, Codable {
  public var beta1: Float
  public var beta2: Float
  public var epsilon: Float
  public var weightDecay: Float

  public init(beta1: Float = 0.9, beta2: Float = 0.999, epsilon: Float = 1e-8, weightDecay: Float = 1e-2) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
  }

  public var name: String { "adamw" }

  /// Throws `UserError(.usage)` naming the first number that is out of range.
  public func validate() throws(UserError) {
    for (name, value, isSound) in [
      ("beta1", beta1, (0..<1).contains(beta1)), ("beta2", beta2, (0..<1).contains(beta2)),
      ("epsilon", epsilon, epsilon > 0 && epsilon <= 1), ("weight_decay", weightDecay, (0...1).contains(weightDecay)),
    ] where !isSound {
      throw UserError(.usage, "AdamW's \(name) is \(value)")
    }
  }

  static let firstMoment = "first_moment"
  static let secondMoment = "second_moment"

  public func initialState(for rows: HostTensor) -> OptimizerState {
    let zeros = HostTensor(repeating: 0, rows.shape)
    return OptimizerState(tensors: [Self.firstMoment: zeros, Self.secondMoment: zeros])
  }

  public func update(
    _ rows: inout HostTensor, gradient: RowGradient, state: inout OptimizerState, step: Int, learningRate: Float
  ) {
    let (rate, decay) = (Double(learningRate), Double(weightDecay))
    let (beta1, beta2) = (Double(beta1), Double(beta2))
    let stepSize = rate / (1 - pow(beta1, Double(step)))
    let correction = (1 - pow(beta2, Double(step))).squareRoot()
    var first = state.tensor(Self.firstMoment, rows.shape)
    var second = state.tensor(Self.secondMoment, rows.shape)
    for index in rows.values.indices {
      let g = Double(gradient.mean.values[index])
      let m = beta1 * Double(first.values[index]) + (1 - beta1) * g
      let v = beta2 * Double(second.values[index]) + (1 - beta2) * g * g
      let w = (1 - rate * decay) * Double(rows.values[index])
      first.values[index] = Float(m)
      second.values[index] = Float(v)
      rows.values[index] = Float(w - stepSize * m / (v.squareRoot() / correction + Double(epsilon)))
    }
    state.tensors = [Self.firstMoment: first, Self.secondMoment: second]
  }
}
