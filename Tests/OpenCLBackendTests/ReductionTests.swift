import Operators
import Tensors
import Testing

@testable import OpenCLBackend

@Suite struct ReductionTests {
  /// Work-groups that run at the same time must not see each other's local memory: whether they do depends on how the driver
  /// compiles a kernel, and shows only where several threads are at work.
  @Test func groupsThatRunTogetherDoNotMeet() throws {
    let backend = try testBackend()
    let rows = 20_000
    let channels = 64
    // Row `n` holds n - 1/2 and n + 1/2 in turn: a mean of n and a deviation of 1/2, exactly.
    let values = (0..<rows * channels).map { Float($0 / channels) + ($0 % 2 == 0 ? -0.5 : 0.5) }
    let x = try backend.upload(HostTensor([rows, channels], values), as: .float32)
    let one = try backend.upload(HostTensor(repeating: 1, [channels]), as: .float32)
    for _ in 0..<10 {
      let (_, saved) = try backend.forward(LayerNorm(epsilon: 0), x, scale: one, shift: one)
      let means = try backend.download(saved.mean).values
      let reciprocals = try backend.download(saved.reciprocalDeviation).values
      #expect(means.indices.count { means[$0] != Float($0) } == 0)
      #expect(reciprocals.count { abs($0 - 2) > 1e-6 } == 0)
    }
  }
}
