import Foundation
import ModelFiles
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// Prodigy's rule of update against its authors' own package in double precision (Tools/reference/prodigy.py).
@Suite struct ProdigyTests {
  /// What the script gave the package, beside the bias correction and the safeguard.
  private struct Options: Decodable {
    var betas: [Double]
    var weightDecay: Double
    var eps: Double?
    var d0: Double?
    var lr: Float?
  }

  @Test(arguments: ["default", "other"]) func updatesAreThoseOfItsAuthors(name: String) throws {
    let file = try SafetensorsFile(Fixtures.url("prodigy.safetensors"))
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let options = try decoder.decode(Options.self, from: Data(try #require(file.metadata[name]).utf8))
    var rule = Prodigy()
    if name == "default" {
      #expect(options.betas == [rule.beta1, rule.beta2] && options.weightDecay == rule.weightDecay)
    }
    (rule.beta1, rule.beta2, rule.weightDecay) = (options.betas[0], options.betas[1], options.weightDecay)
    rule.epsilon = options.eps ?? rule.epsilon
    rule.initialDistance = options.d0 ?? rule.initialDistance
    let (gradients, expected) = try (file.tensor("\(name).gradients"), file.tensor("\(name).rows"))
    let distances = try file.tensor("\(name).d").values
    let shape = Shape(Array(gradients.shape.dimensions.dropFirst()))
    func slice(_ tensor: HostTensor, _ index: Int) -> HostTensor {
      HostTensor(shape, Array(tensor.values[index * shape.count..<(index + 1) * shape.count]))
    }
    var rows = slice(expected, 0)
    var state = rule.initialState(for: rows)
    var grown: Set<Double> = []
    for step in 0..<gradients.shape[0] {
      rule.update(
        &rows, gradient: RowGradient(slice(gradients, step)), state: &state, step: step + 1,
        learningRate: options.lr ?? 1)
      let distance = try #require(state.scalars[Prodigy.distance])
      grown.insert(distance)
      #expect(abs(distance - Double(distances[step])) <= 1e-5 * distance, "d of step \(step)")
      let after = slice(expected, step + 1)
      let largest = after.values.reduce(0) { max($0, abs($1)) }
      for (a, b) in zip(rows.values, after.values) { #expect(abs(a - b) <= 1e-5 * largest, "rows of step \(step)") }
    }
    #expect(grown.count > 10, "the step size was found in \(grown.count) steps")
  }

  /// Rows that no gradient reaches stay where they are.
  @Test func withoutAGradientNothingMoves() {
    let initial = HostTensor([1, 2], [1, -2])
    var rows = initial
    var state = Prodigy().initialState(for: rows)
    for step in 1...3 {
      Prodigy().update(
        &rows, gradient: RowGradient(HostTensor([1, 2], [0, 0])), state: &state, step: step, learningRate: 1)
    }
    #expect(rows == initial)
  }
}
