import Tensors

/// All that training changes, in the program's own memory: what a checkpoint holds.
public struct TrainingState: Sendable, Equatable {
  /// The rows in training, `[n, width]`.
  public var rows: HostTensor
  /// AdamW's moments, of the same shape.
  public var firstMoment: HostTensor
  public var secondMoment: HostTensor
  /// Optimizer steps taken.
  public var step: Int
  public var lossScale: LossScale

  /// The state before the first step.
  public init(rows: HostTensor, precision: ElementType) {
    self.init(
      rows: rows, firstMoment: HostTensor(repeating: 0, rows.shape), secondMoment: HostTensor(repeating: 0, rows.shape),
      step: 0, lossScale: LossScale(for: precision))
  }

  public init(
    rows: HostTensor, firstMoment: HostTensor, secondMoment: HostTensor, step: Int, lossScale: LossScale
  ) {
    self.rows = rows
    self.firstMoment = firstMoment
    self.secondMoment = secondMoment
    self.step = step
    self.lossScale = lossScale
  }
}
