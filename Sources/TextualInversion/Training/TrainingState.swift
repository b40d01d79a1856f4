import Tensors

/// All that training changes, in the program's own memory: what a checkpoint holds.
public struct TrainingState: Sendable, Equatable {
  /// The rows in training.
  public var parameters: Parameters
  /// What the rule of update remembers of each.
  public var optimizer: [ParameterName: OptimizerState]
  /// Optimizer steps taken.
  public var step: Int
  public var lossScale: LossScale
  /// What the word was measured at.
  public var heldOut = HeldOutRecord()
  /// What the run knows of its trouble.
  public var recovery = Recovery()
  /// The state before the last step, which is known to be good; nil where the rows as they stand have been measured.
  public var previous: TrainingSnapshot?

  /// What a run leaves, and the steps that it took: the rows as they stand or, behind a run's end, earlier ones
  /// whose held-out loss was clearly lower.
  var result: (step: Int, parameters: Parameters) {
    guard let result = heldOut.result, result != heldOut.last, let best = heldOut.best else {
      return (step, parameters)
    }
    return (result.step, best)
  }

  /// The state before the first step.
  public init(parameters: Parameters, optimizer: some Optimizer, precision: ElementType) {
    self.init(
      parameters: parameters, optimizer: parameters.mapValues { optimizer.initialState(for: $0) }, step: 0,
      lossScale: LossScale(for: precision))
  }

  public init(
    parameters: Parameters, optimizer: [ParameterName: OptimizerState], step: Int, lossScale: LossScale
  ) {
    self.parameters = parameters
    self.optimizer = optimizer
    self.step = step
    self.lossScale = lossScale
  }
}
