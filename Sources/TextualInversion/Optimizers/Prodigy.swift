import Foundation
import Tensors

/// Prodigy (Mishchenko and Defazio, "Prodigy: an expeditiously adaptive parameter-free learner", 2023, arXiv 2306.06101): Adam whose
/// step size `d` grows from next to nothing to an estimate of how far the rows have to go. As its authors' package has it, with
/// Adam's bias correction and the safeguard for warm-ups, where `β₃ = √β₂` and `w₀` are the initial rows:
///
///     λ = d · rate · √(1 - β₂ᵗ) / (1 - β₁ᵗ)
///     m ← β₁ m + (1 - β₁) d g            v ← β₂ v + (1 - β₂) d² g²
///     n ← β₃ n + d/d₀ λ ⟨g, w₀ - w⟩      s ← β₃ s + d/d₀ d g
///     d ← max(d, n / |s|₁)
///     w ← w - λ · decay · w - λ m / (√v + d ε)
///
/// `rate` is 1 unless the steps are to be larger or smaller than estimated. The first steps are of the size of a row's last digits, so
/// that the way `w - w₀` is kept beside the rows. A word's rows in one text encoder have a `d` of their own.
public struct Prodigy: Optimizer, Hashable {
  public var beta1: Double
  public var beta2: Double
  public var epsilon: Double
  public var weightDecay: Double
  /// The first `d`, which is also its least.
  public var initialDistance: Double

  /// The package's advice for diffusion models: `β₂ = .99`, decay .01, Adam's bias correction, and `s` without the rate.
  public init(
    beta1: Double = 0.9, beta2: Double = 0.99, epsilon: Double = 1e-8, weightDecay: Double = 0.01,
    initialDistance: Double = 1e-6
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.initialDistance = initialDistance
  }

  public var name: String { "prodigy" }

  private static let initialRows = "initial_rows"
  private static let way = "way"
  private static let gradientSum = "gradient_sum"
  /// `d` and `n` by their names in a checkpoint.
  static let distance = "distance"
  private static let numerator = "numerator"

  public func initialState(for rows: HostTensor) -> OptimizerState {
    let zeros = HostTensor(repeating: 0, rows.shape)
    return OptimizerState(
      tensors: [
        Self.initialRows: rows, Self.way: zeros, Self.gradientSum: zeros, AdamW.firstMoment: zeros,
        AdamW.secondMoment: zeros,
      ],
      scalars: [Self.distance: initialDistance, Self.numerator: 0])
  }

  public func update(
    _ rows: inout HostTensor, gradient: RowGradient, state: inout OptimizerState, step: Int, learningRate: Float
  ) {
    let beta3 = beta2.squareRoot()
    let d = state.scalars[Self.distance] ?? initialDistance
    let correction = (1 - pow(beta2, Double(step))).squareRoot() / (1 - pow(beta1, Double(step)))
    let size = d * Double(learningRate) * correction
    let initial = state.tensors[Self.initialRows] ?? rows
    var way = state.tensor(Self.way, rows.shape)
    var first = state.tensor(AdamW.firstMoment, rows.shape)
    var second = state.tensor(AdamW.secondMoment, rows.shape)
    var sum = state.tensor(Self.gradientSum, rows.shape)
    var product = 0.0
    var length = 0.0
    for index in rows.values.indices {
      let g = Double(gradient.mean.values[index])
      product -= g * Double(way.values[index])
      first.values[index] = Float(beta1 * Double(first.values[index]) + (1 - beta1) * d * g)
      second.values[index] = Float(beta2 * Double(second.values[index]) + (1 - beta2) * d * d * g * g)
      sum.values[index] = Float(beta3 * Double(sum.values[index]) + d / initialDistance * d * g)
      length += abs(Double(sum.values[index]))
    }
    let numerator = beta3 * (state.scalars[Self.numerator] ?? 0) + d / initialDistance * size * product
    // Without a gradient there is nothing to estimate from.
    guard length > 0 else { return }
    let distance = max(d, numerator / length)
    for index in rows.values.indices {
      let (start, gone) = (Double(initial.values[index]), Double(way.values[index]))
      let update = Double(first.values[index]) / (Double(second.values[index]).squareRoot() + distance * epsilon)
      way.values[index] = Float(gone - size * (weightDecay * (start + gone) + update))
      rows.values[index] = Float(start + Double(way.values[index]))
    }
    state.tensors = [
      Self.initialRows: initial, Self.way: way, Self.gradientSum: sum, AdamW.firstMoment: first,
      AdamW.secondMoment: second,
    ]
    state.scalars = [Self.distance: distance, Self.numerator: numerator]
  }
}
