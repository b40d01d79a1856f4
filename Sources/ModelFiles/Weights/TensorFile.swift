import Foundation
import Tensors

/// A file of named tensors, whatever its format. It is read where it lies: opening it reads what it says of its tensors,
/// `tensor` the numbers of one.
public protocol TensorFile: Sendable {
  var url: URL { get }
  /// The names of the tensors, sorted.
  var names: [String] { get }
  /// What a file says of itself, by keys such as `modelspec.prediction_type`.
  var metadata: [String: String] { get }

  /// The shape of a tensor, nil when the file has none of that name.
  func shape(of name: String) -> Shape?

  /// How a tensor's numbers are stored, such as `F16`; nil when the file has none of that name.
  func typeName(of name: String) -> String?

  /// A tensor of F64, F32, F16 or BF16, as floats in row-major order; `badData` for one that is missing, of another type, or
  /// holds NaN or infinity.
  func tensor(_ name: String) throws(UserError) -> HostTensor
}

extension SafetensorsFile: TensorFile {
  public func tensor(_ name: String) throws(UserError) -> HostTensor { try tensor(name, mustBeFinite: true) }
}

/// The tensors of a file of `torch.save`: of the dictionary that was saved, or of the `state_dict` in it.
public struct TorchTensors: TensorFile {
  public let metadata: [String: String] = [:]
  private let file: TorchFile
  private let tensors: [String: PickledTensor]

  /// - Throws: `UserError(.badData)` where what was saved is no dictionary of tensors.
  public init(_ url: URL) throws(UserError) {
    file = try TorchFile(url)
    guard case .dictionary(let pairs) = file.tensorDictionary else {
      throw UserError(.badData, at: .file(url), "holds no dictionary of tensors", remedy: "is it the right file?")
    }
    var tensors: [String: PickledTensor] = [:]
    // Of a key that was set twice, the last counts.
    for case (.text(let name), .tensor(let tensor)) in pairs { tensors[name] = tensor }
    self.tensors = tensors
  }

  public var url: URL { file.url }
  public var names: [String] { tensors.keys.sorted() }

  public func shape(of name: String) -> Shape? { tensors[name].map { Shape($0.dimensions) } }
  public func typeName(of name: String) -> String? { tensors[name]?.typeName }

  public func tensor(_ name: String) throws(UserError) -> HostTensor {
    guard let tensor = tensors[name] else {
      throw UserError(.badData, at: [.file(url), .tensor(name)], "is missing", remedy: "is it the right file?")
    }
    do throws(UserError) {
      let tensor = try file.tensor(tensor)
      guard tensor.values.withUnsafeBufferPointer(areFinite) else {
        throw UserError(.badData, at: .file(url), "holds NaN or infinity", remedy: "fetch or make the file again")
      }
      return tensor
    } catch {
      throw error.inside(.file(url)).at(.tensor(name)).at(.file(url))
    }
  }
}

/// Opens a file of tensors of either format, told by its first bytes.
public func openTensorFile(_ url: URL) throws(UserError) -> any TensorFile {
  try TorchFile.isOne(url) ? try TorchTensors(url) : try SafetensorsFile(url)
}
