import DemoModel
import Foundation
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing
import TextualInversion

/// Whole training steps against PyTorch and diffusers: the traces are made by Tools/reference/replay.py in float64.
@Suite(.serialized) struct ReplayTests {
  struct Trace: Sendable, CustomTestStringConvertible {
    let model: URL
    let file: URL
    let testDescription: String
    /// The largest relative error allowed in each precision.
    var float32Bound = 1e-5
    var float16Bound = 2e-2

    static func tiny(_ name: String, _ trace: String = "replay") -> Trace {
      let folder = Fixtures.url("models/\(name)")
      return Trace(
        model: folder, file: folder.appendingPathComponent("\(trace).safetensors"), testDescription: "\(name) \(trace)")
    }
  }

  static let traces: [Trace] = [
    .tiny("tiny-sd1"), .tiny("tiny-sd2"), .tiny("tiny-odd"), .tiny("tiny-deep"), .tiny("tiny-deep", "replay-uneven"),
    // A trained model at a low loss: PyTorch's float32 gradients are 5.4e-5 from its float64's, its float16's 1.4e-1.
    Trace(
      model: DemoModel.model, file: Fixtures.url("demo/replay.safetensors"), testDescription: "demo",
      float32Bound: 5.4e-5, float16Bound: 1.4e-1),
  ]

  private func replay<B: Backend>(_ trace: Trace, on backend: B) throws -> ReplayComparison {
    let run = try ReplayRun(
      model: ModelFolder(trace.model), trace: trace.file, placeholder: "<new>", backend: backend)
    var steps = 0
    let maximum = try run.run { _, comparison in
      #expect(comparison != nil)
      steps += 1
    }
    #expect(steps == run.trace.steps && steps > 0)
    return try #require(maximum)
  }

  /// PyTorch's own spread between float32 and float64 is up to 3e-6 on the tiny models.
  @Test(arguments: traces, TestBackends.float32) func singlePrecision(trace: Trace, backend: TestBackend) throws {
    let maximum = try backend.run { try replay(trace, on: $0) }
    #expect(maximum.largest < trace.float32Bound, "\(maximum)")
  }

  /// PyTorch's own float16 is up to 5e-3 away from its float64 on the tiny models.
  @Test(arguments: traces, TestBackends.all(.float16)) func halfPrecision(trace: Trace, backend: TestBackend) throws {
    let maximum = try backend.run { try replay(trace, on: $0) }
    #expect(maximum.largest < trace.float16Bound, "\(maximum)")
  }
}
