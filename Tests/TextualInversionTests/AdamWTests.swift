import ModelFiles
import TestSupport
import Tensors
import Testing
import TextualInversion

/// The rule of update against PyTorch's own, in double precision: the numbers of `Tools/reference/operations.py`, whose
/// parameters stand here again.
@Suite struct AdamWTests {
  @Test func updatesAreThoseOfPyTorch() throws {
    let file = try SafetensorsFile(Fixtures.url("operations.safetensors"))
    let op = AdamW(beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weightDecay: 0.1)
    var rows = try file.tensor("adamw.rows")
    let gradients = try file.tensor("adamw.gradients")
    let expected = try file.tensor("adamw.y")
    var state = op.initialState(for: rows)
    let size = rows.shape.count
    for step in 0..<gradients.shape[0] {
      let gradient = HostTensor(rows.shape, Array(gradients.values[step * size..<(step + 1) * size]))
      op.update(&rows, gradient: RowGradient(gradient), state: &state, step: step + 1, learningRate: 0.05)
    }
    // Rows and moments are rounded to 32 bits once a step, as are the file's numbers, the rate and the betas.
    let largest = expected.values.reduce(0) { max($0, abs($1)) }
    for (actual, expected) in zip(rows.values, expected.values) {
      #expect(abs(actual - expected) <= 4 * 0x1p-23 * largest)
    }
  }

  /// A gradient that was never anything leaves the row to the weight decay alone.
  @Test func withoutAGradientOnlyTheDecayActs() {
    let op = AdamW(weightDecay: 0.5)
    var rows = HostTensor([1, 2], [1, -2])
    var state = op.initialState(for: rows)
    op.update(&rows, gradient: RowGradient(HostTensor([1, 2], [0, 0])), state: &state, step: 1, learningRate: 0.5)
    #expect(rows.values == [0.75, -1.5])
  }
}
