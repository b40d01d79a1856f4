import Tensors

/// All that training changes, in the program's own memory: what a checkpoint holds.
public struct TrainingState: Sendable, Equatable {
  /// The rows in training, `[n, width]`.
  public var rows: HostTensor
  /// What the rule of update remembers.
  public var optimizer: OptimizerState
  /// Optimizer steps taken.
  public var step: Int
  public var lossScale: LossScale

  /// The state before the first step.
  public init(rows: HostTensor, optimizer: some Optimizer, precision: ElementType) {
    self.init(
      rows: rows, optimizer: optimizer.initialState(for: rows), step: 0, lossScale: LossScale(for: precision))
  }

  public init(rows: HostTensor, optimizer: OptimizerState, step: Int, lossScale: LossScale) {
    self.rows = rows
    self.optimizer = optimizer
    self.step = step
    self.lossScale = lossScale
  }
}
