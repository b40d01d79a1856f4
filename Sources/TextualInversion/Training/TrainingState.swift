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

  /// What a run leaves, and the steps that it took: the rows as they stand or, behind a run's end, those of the lowest held-out loss.
  var result: (step: Int, parameters: Parameters) {
    guard let last = heldOut.last, let lowest = heldOut.lowest, let best = heldOut.best, lowest.loss < last.loss else {
      return (step, parameters)
    }
    return (lowest.step, best)
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
