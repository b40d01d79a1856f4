import ArgumentParser
import CPUBackend
import OpenCLBackend
import Operators
import Tensors

/// `--device`: where to compute.
enum DeviceChoice: ExpressibleByArgument, CustomStringConvertible {
  /// A GPU where there is one, else the CPU backend.
  case auto
  case cpu
  /// `opencl` for the first GPU, or the first device where no GPU is; `opencl:P.D` for one of those that `devices` shows.
  case opencl(String)
  /// What is no device.
  case unknown(String)

  init(argument: String) {
    self =
      switch argument {
      case "auto": .auto
      case "cpu": .cpu
      case _ where argument.split(separator: ":").first == "opencl": .opencl(argument)
      default: .unknown(argument)
      }
  }

  /// What there is, in words.
  static var known: String {
    let devices = ((try? OpenCLDevices.list()) ?? []).map { "\($0.identifier) (\($0.name))" }
    return "there are " + (["auto", "cpu", "opencl"] + devices).joined(separator: ", ")
  }

  var description: String {
    switch self {
    case .auto: "auto"
    case .cpu: "cpu"
    case .opencl(let word), .unknown(let word): word
    }
  }
}

/// `--precision`: how activations and weights are stored.
enum PrecisionChoice: String, ExpressibleByArgument, CaseIterable {
  case auto, f32, f16, bf16

  /// The element type asked for; `auto` is 16 bits on a GPU and 32 on a CPU.
  func type(onGPU: Bool) -> ElementType {
    switch self {
    case .auto: onGPU ? .float16 : .float32
    case .f32: .float32
    case .f16: .float16
    case .bf16: .bfloat16
    }
  }
}

extension KernelForm: ExpressibleByArgument {}

/// The options every command that computes has.
struct DeviceOptions: ParsableArguments {
  @Option(help: "Where to compute: auto, cpu, opencl, or opencl:P.D as 'ti-gpu devices' numbers them.")
  var device = DeviceChoice.auto

  @Option(help: "How activations and weights are stored; auto is f16 on a GPU and f32 on a CPU.")
  var precision = PrecisionChoice.auto

  @Option(help: "Which form of the OpenCL kernels runs.")
  var kernelForm = KernelForm.auto

  /// Takes the device that an earlier run named, unless another was named now.
  mutating func takeDefault(_ earlier: String) throws(UserError) {
    guard case .auto = device else { return }
    device = DeviceChoice(argument: earlier)
    guard case .unknown = device else { return }
    throw UserError(
      .badData, "the run's report names the device '\(earlier)', which is none; give --device: \(DeviceChoice.known)")
  }

  func validate() throws {
    if case .unknown(let word) = device {
      throw ValidationError("--device \(word): there is no such device; \(DeviceChoice.known)")
    }
  }

  /// The environment may name the loops' instruction set: one that is not here is a person's mistake, not the device's.
  private static func cpu(_ precision: ElementType) throws -> CPUBackend {
    do {
      return try CPUBackend(precision: precision)
    } catch {
      if error.code == .unsupported { throw UserError(.usage, "\(error)") }
      throw error
    }
  }

  /// Runs `work` on the device that was chosen.
  func run(_ work: some BackendWork) throws {
    guard let device = try openCLDevice() else {
      guard kernelForm == .auto else {
        throw UserError(
          .usage, at: .option("kernel-form"), "the CPU backend has no OpenCL kernels",
          remedy: "choose a device with --device opencl")
      }
      return try work.run(precision: precision.type(onGPU: false), makeBackend: { Checked(try Self.cpu($0)) })
    }
    guard kernelForm == .auto || device.kernelForms.contains(kernelForm) else {
      throw UserError(
        .usage, "--kernel-form \(kernelForm.rawValue) is for CPU devices with vector registers, not for \(device.name)")
    }
    return try work.run(precision: precision.type(onGPU: device.kind == .gpu)) { [kernelForm] precision in
      Checked(try OpenCLBackend(device: device, precision: precision, kernelForm: kernelForm))
    }
  }

  /// The OpenCL device that was chosen; nil is the CPU backend.
  private func openCLDevice() throws -> OpenCLDevice? {
    switch device {
    case .cpu, .unknown: nil
    case .auto: try OpenCLDevices.list().first { $0.kind == .gpu }
    case .opencl(let word): try OpenCLDevices.named(word)
    }
  }
}

/// A job that runs on any backend.
protocol BackendWork {
  /// - Parameters:
  ///   - precision: what the user asked for, or what fits the device.
  ///   - makeBackend: makes a backend on the chosen device that stores as asked.
  func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws
}
