import CPUBackend
import Foundation
import OpenCLBackend
import Operators
import Synchronization
import Tensors
import Testing

/// One backend in one precision, made at its first use and kept for the whole process: building an OpenCL backend's programs is
/// the dearest thing a test does.
public struct TestBackend: Sendable, CustomTestStringConvertible {
  /// Such as `opencl gpu f16`.
  public let name: String
  public let precision: ElementType
  private let cell: Cell

  init(_ name: String, _ precision: ElementType, make: @escaping @Sendable () throws -> any Backend) {
    self.name = "\(name) \(precision.rawValue)"
    self.precision = precision
    cell = Cell(make)
  }

  public var testDescription: String { name }

  /// Runs `body` on the backend. A backend is driven by one thread at a time, so tests that want the same one take turns.
  ///
  /// A backend that can't be made is a failed test, with the reason, never a skipped one.
  public func run<Result>(_ body: (any Backend) throws -> Result) throws -> Result {
    try cell.run(body)
  }

  /// `@unchecked`: whoever has the turn drives the backend, on whatever thread.
  private final class Cell: @unchecked Sendable {
    private let turn = Mutex(())
    private let make: @Sendable () throws -> any Backend
    private var made: Result<any Backend, any Error>?

    init(_ make: @escaping @Sendable () throws -> any Backend) { self.make = make }

    func run<Value>(_ body: (any Backend) throws -> Value) throws -> Value {
      var result: Result<Value, any Error>?
      turn.withLock { _ in
        let backend = made ?? Result(catching: make)
        made = backend
        result = Result { try body(backend.get()) }
      }
      return try #require(result).get()
    }
  }
}

/// The backends that tests run on, checked as programs have them: the CPU's, and OpenCL with the kernels in the forms that the device has, in every precision.
///
/// The OpenCL device is the first GPU, else the first device of any kind, or the one that the environment variable
/// `TI_GPU_TEST_DEVICE` names in the program's own words, such as `opencl:1.0`: so the same tests run on any OpenCL
/// implementation at hand. Where `TI_GPU_INSTRUCTION_SET` names the instruction set of the CPU backend's loops, those alone are
/// tested.
public enum TestBackends {
  public static let all: [TestBackend] = ElementType.allCases.flatMap { all($0) }

  /// The OpenCL device that tests run on. A machine without any fails the tests, it does not skip them.
  public static func openCLDevice() throws -> OpenCLDevice {
    try OpenCLDevices.named(ProcessInfo.processInfo.environment["TI_GPU_TEST_DEVICE"] ?? "opencl")
  }

  /// The backends of one precision.
  public static func all(_ precision: ElementType) -> [TestBackend] { byPrecision[precision] ?? [] }

  /// The backends in 32-bit floats.
  public static let float32: [TestBackend] = all(.float32)

  private static let byPrecision: [ElementType: [TestBackend]] = Dictionary(
    uniqueKeysWithValues: ElementType.allCases.map { ($0, make($0)) })

  private static func make(_ precision: ElementType) -> [TestBackend] {
    let engines: [(name: String, engine: ProductEngine)] = [("cpu", .loops), ("cpu oneDNN", .oneDNN)]
    let cpu = engines.map { name, engine in
      TestBackend(name, precision) { Checked(try CPUBackend(precision: precision, engine: engine)) }
    }
    if ProcessInfo.processInfo.environment["TI_GPU_INSTRUCTION_SET"] != nil { return [cpu[0]] }
    // A decorator has to hand every operation to its like; one precision shows it.
    let timed =
      precision != .float32
      ? []
      : [
        TestBackend("timed cpu", precision) {
          let checked = Checked(try CPUBackend(precision: precision, engine: .loops))
          return Timed(checked, part: "test", times: PhaseTimes())
        }
      ]
    // Without a device both are there, to fail.
    let forms = (try? openCLDevice())?.kernelForms ?? [.gpu, .cpu]
    let openCL = forms.map { form in
      TestBackend("opencl \(form.rawValue)", precision) {
        Checked(try OpenCLBackend(device: openCLDevice(), precision: precision, kernelForm: form))
      }
    }
    return cpu + timed + openCL
  }
}
