import Tensors

/// A rule of update for the rows in training. It runs in the program's own memory: a few thousand numbers a step.
///
/// A new rule is a file beside this one; `Trainer` and `TrainingRun` take any.
public protocol Optimizer: Sendable {
  /// The rule's name in checkpoints: a run goes on by the rule it began with.
  var name: String { get }

  /// Whether `update` looks at the gradient of every example by itself.
  var usesExamples: Bool { get }

  /// The rows that training starts from, out of a phrase's own `[n, width]`.
  func initialRows(_ rows: HostTensor, vocabularyNorm: Float) -> HostTensor

  /// What the rule remembers before the first step, for rows `[n, width]`.
  func initialState(for rows: HostTensor) -> OptimizerState

  /// One update in place of `rows` `[n, width]` and of `state`; `step` counts from 1.
  func update(
    _ rows: inout HostTensor, gradient: RowGradient, state: inout OptimizerState, step: Int, learningRate: Float)
}

extension Optimizer {
  public var usesExamples: Bool { false }
  public func initialRows(_ rows: HostTensor, vocabularyNorm: Float) -> HostTensor { rows }
}

/// The gradient of a step's loss to the rows in training.
public struct RowGradient: Sendable {
  /// Of the mean over the batch, `[n, width]`.
  public var mean: HostTensor
  /// Of each example's part in it that shows the word, of the same shape; empty unless the rule of update looks at them.
  public var examples: [HostTensor]

  public init(_ mean: HostTensor, examples: [HostTensor] = []) {
    self.mean = mean
    self.examples = examples
  }

  /// Takes an example in. One without a gradient shows another word, whose pictures share the batch: it says nothing of this one, and
  /// a mean over examples leaves it out, so that each of several words goes its whole way.
  mutating func addExample(_ gradient: HostTensor) {
    if gradient.values.contains(where: { $0 != 0 }) { examples.append(gradient) }
  }

  /// Whether every element is a number.
  var isFinite: Bool { mean.isFinite && examples.allSatisfy(\.isFinite) }
}

/// What a rule of update remembers from step to step, by names of its own; a checkpoint stores it so.
public struct OptimizerState: Sendable, Equatable {
  /// Tensors of the rows' shape.
  public var tensors: [String: HostTensor]
  public var scalars: [String: Double]

  public init(tensors: [String: HostTensor] = [:], scalars: [String: Double] = [:]) {
    self.tensors = tensors
    self.scalars = scalars
  }

  /// The tensor of a name; zeros of `shape` where the state has none.
  func tensor(_ name: String, _ shape: Shape) -> HostTensor {
    tensors[name] ?? HostTensor(repeating: 0, shape)
  }
}
