import Operators
import Tensors

/// What changes the shape of a kernel family's code: one typed struct that checks itself and becomes `-D` defines.
///
/// Sizes are arguments of a launch, never parameters: each set of parameters is one program to compile.
protocol KernelParameters: Sendable, Hashable {
  /// The family's source, such as `Normalization/group_norm.cl`.
  static var source: String { get }

  /// Sources that it shares with other families: they come before it, in this order.
  static var sharedSources: [String] { get }

  /// Names and values, as the source's `#ifndef` defaults name them.
  var defines: [KernelDefine] { get }

  /// Throws unless the parameters fit each other and the device.
  func check(_ limits: DeviceLimits) throws(OperationError)
}

extension KernelParameters {
  static var sharedSources: [String] { [] }
}

struct KernelDefine: Sendable, Hashable, CustomStringConvertible {
  let name: String
  let value: String

  init(_ name: String, _ value: Int) {
    self.name = name
    self.value = String(value)
  }

  var description: String { "-D \(name)=\(value)" }
}

/// How many neighbouring channels an item takes at once: `VECTOR` in `Common/storage.cl`.
struct ChannelVector: Sendable, Hashable {
  /// 8 or 1.
  let width: Int

  /// The widest that divides every one of `channels`.
  init(dividing channels: Int...) {
    width = channels.allSatisfy { $0 % 8 == 0 } ? 8 : 1
  }

  var define: KernelDefine { KernelDefine("VECTOR", width) }
}

extension Activation {
  /// `ACTIVATION` in `Common/activation.cl`; 0 is none.
  var kernelNumber: Int {
    switch self {
    case .silu: 1
    case .gelu: 2
    case .geluTanh: 3
    case .quickGELU: 4
    }
  }

  static func define(_ activation: Activation?) -> KernelDefine {
    KernelDefine("ACTIVATION", activation?.kernelNumber ?? 0)
  }
}

/// Which of two forms matmul, convolution and attention run in.
public enum KernelForm: String, Sendable, Hashable, CaseIterable {
  /// `cpu` where the device has it, else `gpu`.
  case auto
  /// Work-group tiles in local memory.
  case gpu
  /// One item a group with a wide register tile.
  case cpu

  /// The form that runs on `device`; throws where the device does not have the one asked for.
  func resolved(for device: OpenCLDevice) throws(OperationError) -> KernelForm {
    let forms = device.kernelForms
    if self == .auto { return forms.contains(.cpu) ? .cpu : .gpu }
    guard forms.contains(self) else {
      throw OperationError(
        .unsupported, device.name, "the \(rawValue) form of kernels is for CPU devices with vector registers")
    }
    return self
  }
}

extension OpenCLDevice {
  /// The forms of kernels that the device runs.
  ///
  /// The CPU form wants a core's vector registers for one item. A GPU lays neighbouring items across a vector, and so does
  /// Mesa's llvmpipe on a CPU, which also ends the loops of an item after 65,535 rounds without a word.
  public var kernelForms: [KernelForm] { kind == .cpu && nativeVectorWidth > 1 ? [.gpu, .cpu] : [.gpu] }
}
