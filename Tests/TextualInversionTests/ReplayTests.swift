import Foundation
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing
import TextualInversion

/// Whole training steps against PyTorch and diffusers: the traces are made by Tools/reference/replay.py in float64.
@Suite(.serialized) struct ReplayTests {
  static let models = ["tiny-sd1", "tiny-sd2", "tiny-odd", "tiny-deep"]

  private func replay<B: Backend>(_ model: String, on backend: B) throws -> ReplayComparison {
    let folder = Fixtures.url("models/\(model)")
    let run = try ReplayRun(
      model: ModelFolder(folder), trace: folder.appendingPathComponent("replay.safetensors"), placeholder: "<new>",
      backend: backend)
    var steps = 0
    let maximum = try run.run { _, comparison in
      #expect(comparison != nil)
      steps += 1
    }
    #expect(steps == run.trace.steps && steps > 0)
    return try #require(maximum)
  }

  /// PyTorch's own spread between float32 and float64 is up to 3e-6 on these models.
  @Test(arguments: models, TestBackends.float32) func singlePrecision(model: String, backend: TestBackend) throws {
    let maximum = try backend.run { try replay(model, on: $0) }
    #expect(maximum.largest < 1e-5, "\(maximum)")
  }

  /// PyTorch's own float16 is up to 5e-3 away from its float64.
  @Test(arguments: models, TestBackends.all(.float16)) func halfPrecision(model: String, backend: TestBackend) throws {
    let maximum = try backend.run { try replay(model, on: $0) }
    #expect(maximum.largest < 2e-2, "\(maximum)")
  }
}
