import DemoModel
import Foundation
import ModelFiles
import Operators
import TestSupport
import Tensors
import Testing
import TextualInversion

/// Whole training steps against PyTorch and diffusers: the traces are made by Tools/reference/replay.py in float64.
///
/// Each quantity has a bound of its own: twice the error that PyTorch itself makes of it in the same precision, on the same
/// trace (Tools/reference/spread.py; Docs/Numerics.md has the numbers). A program that rounds as often as PyTorch does, in
/// another order, is another draw from the same distribution.
@Suite(.serialized) struct ReplayTests {
  struct Trace: Sendable, CustomTestStringConvertible {
    let model: URL
    let file: URL
    let testDescription: String
    /// What no quantity of a free replay may be off by, whatever PyTorch is.
    var ceilings: [ElementType: Double] = [.float32: 1e-5, .float16: 2e-2, .bfloat16: 1.6e-1]

    /// The tiny model of two encoders is held to 1e-5 in f32; its 16-bit gradients are small differences.
    static func tinyXL(_ name: String) -> Trace {
      var trace = tiny(name)
      trace.ceilings = [.float32: 1e-5]
      return trace
    }

    static func tiny(_ name: String, _ trace: String = "replay") -> Trace {
      let folder = Fixtures.url("models/\(name)")
      return Trace(
        model: folder, file: folder.appendingPathComponent("\(trace).safetensors"), testDescription: "\(name) \(trace)")
    }
  }

  static let traces: [Trace] = [
    .tiny("tiny-sd1"), .tiny("tiny-sd2"), .tiny("tiny-odd"), .tiny("tiny-deep"), .tiny("tiny-deep", "replay-uneven"),
    .tinyXL("tiny-sdxl"), .tinyXL("tiny-sdxl-v"),
    // A trained model at a low loss: its gradients are small differences.
    Trace(
      model: DemoModel.model, file: Fixtures.url("demo/replay.safetensors"), testDescription: "demo replay",
      ceilings: [.float32: 5.4e-5, .float16: 1.4e-1]),
  ]

  /// PyTorch's own errors, by trace, type, mode and quantity.
  struct Spread: Decodable {
    /// By quantity.
    typealias Errors = [String: Double]
    let traces: [String: [String: [String: Errors]]]

    static func of(_ trace: Trace, _ type: ElementType, _ mode: ReplayMode) throws -> Errors {
      let names: [ElementType: String] = [.float32: "float32", .float16: "float16", .bfloat16: "bfloat16"]
      let file = try Data(contentsOf: Fixtures.url("replay_spread.json"))
      let spread = try JSONDecoder().decode(Spread.self, from: file)
      return try #require(spread.traces[trace.testDescription]?[names[type] ?? ""]?[mode.rawValue])
    }
  }

  private func replay<B: Backend>(_ trace: Trace, _ mode: ReplayMode, on backend: B) throws {
    let run = try ReplayRun(
      model: DiffusersFolder(trace.model), trace: trace.file, placeholder: "<new>", backend: backend)
    var steps = 0
    let maximum = try run.run(mode) { _, comparison in
      #expect(comparison != nil)
      steps += 1
    }
    #expect(steps == run.trace.steps && steps > 0)
    let errors = try #require(maximum)
    let own = try Spread.of(trace, backend.precision, mode)
    let ceiling = mode == .free ? trace.ceilings[backend.precision] ?? .infinity : .infinity
    #expect(errors.errors.count == own.count && own.count >= 3)
    for (quantity, error) in errors.errors {
      let bound = try #require(own[quantity.name])
      #expect(error <= min(2 * bound, ceiling), "\(quantity.name), \(mode)")
    }
  }

  /// Each step from the trace's rows and moments: nothing compounds.
  @Test(arguments: traces, TestBackends.all) func forced(trace: Trace, backend: TestBackend) throws {
    try backend.run { try replay(trace, .forced, on: $0) }
  }

  /// As training runs, where errors compound.
  @Test(arguments: traces, TestBackends.all) func free(trace: Trace, backend: TestBackend) throws {
    try backend.run { try replay(trace, .free, on: $0) }
  }
}
