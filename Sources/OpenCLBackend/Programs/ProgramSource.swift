import Crypto
import Foundation
import Kernels
import Tensors

/// The embedded `.cl` sources by their paths under `Kernels/`.
enum EmbeddedSources {
  /// What stands before every program's own text.
  static let common = ["Common/attributes.cl", "Common/storage.cl", "Common/reduce.cl", "Common/activation.cl"]

  private static let texts: [String: String] = {
    var texts: [String: String] = [:]
    var index = 0
    while true {
      let source = kernel_source_at(index)
      guard let name = source.name, let text = source.text else { return texts }
      let bytes = UnsafeRawBufferPointer(start: text, count: source.length)
      texts[String(cString: name)] = String(decoding: bytes, as: UTF8.self)
      index += 1
    }
  }()

  /// The text of one source; a name that is not embedded is a bug of ours.
  static func text(_ name: String) throws(OperationError) -> String {
    guard let text = texts[name] else {
      throw OperationError(.buildFailure, name, "no such source in the binary")
    }
    return text
  }
}

/// A program before it is built: text and compiler options.
struct ProgramSource: Sendable, Hashable {
  /// What errors call it.
  let name: String
  let text: String
  let options: String

  init(name: String, text: String, options: String) {
    self.name = name
    self.text = text
    self.options = options
  }

  /// The program of a kernel family over one storage type, as `device` is to build it. `#line` lets build logs name file and
  /// line.
  init<Parameters: KernelParameters>(_ parameters: Parameters, storage: ElementType, device: OpenCLDevice)
    throws(OperationError)
  {
    var text = ""
    for name in EmbeddedSources.common + Parameters.sharedSources + [Parameters.source] {
      text += "#line 1 \"\(name)\"\n" + (try EmbeddedSources.text(name)) + "\n"
    }
    name = "\(Parameters.source) (\(storage.rawValue))"
    self.text = text
    var options = ["-cl-std=CL1.2", "-cl-mad-enable", "-D STORAGE=\(storage.kernelNumber)"]
    options += device.buildOptions + parameters.defines.map(\.description)
    self.options = options.joined(separator: " ")
  }

  /// Under which the built program is kept on disk: everything that the binary depends on.
  func key(for device: OpenCLDevice) -> String {
    var hash = SHA256()
    for part in [
      "format \(ProgramCache.formatVersion)", device.platform, device.name, device.driver, device.version, options,
      text,
    ] {
      // The length first: no two lists of parts run together into the same bytes.
      hash.update(data: Data("\(part.utf8.count)\n\(part)".utf8))
    }
    return hash.finalize().map { String(format: "%02x", $0) }.joined()
  }
}

extension OpenCLDevice {
  /// What the driver's compiler takes beside the language's own options.
  ///
  /// Intel's gives an item half of the registers that an Arc has; the larger tiles and attention need all of them.
  fileprivate var buildOptions: [String] {
    kind == .gpu && platform.hasPrefix("Intel") ? ["-cl-intel-256-GRF-per-thread"] : []
  }
}

extension ElementType {
  /// `STORAGE` in `Common/storage.cl`.
  var kernelNumber: Int {
    switch self {
    case .float32: 32
    case .float16: 16
    case .bfloat16: 17
    }
  }
}
