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
