import Foundation
import Tensors

/// What a PyTorch file can be made of.
package indirect enum TorchValue: Sendable {
  case none
  case integer(Int)
  case text(String)
  case tensor(HostTensor)
  case dictionary([(key: String, value: TorchValue)])
}

extension TorchFile {
  /// A file as `torch.save` makes it: a ZIP file of a pickle and, for every tensor, its 32-bit floats.
  ///
  /// Nothing else is in it, since the web UIs' loader refuses members that it does not know; `torch.load` takes it with
  /// `weights_only=True`.
  ///
  /// - Parameter name: of the folder inside the file; PyTorch's is the file's own name without its ending.
  package static func encode(_ value: TorchValue, name: String) throws(UserError) -> Data {
    var pickle = PickleWriter()
    pickle.write(value)
    let storages = pickle.storages.enumerated().map { ("\(name)/data/\($0)", $1.values.withUnsafeBytes { Data($0) }) }
    return try ZipArchive.encode(
      [("\(name)/data.pkl", pickle.finished)] + storages + [("\(name)/version", Data("3\n".utf8))])
  }
}

/// Writes a value as a pickle of protocol 2, in the opcodes and names that PyTorch uses for it.
private struct PickleWriter {
  private var bytes = Data([0x80, 2])
  /// The tensors, by the number that is their storage's name.
  private(set) var storages: [HostTensor] = []

  var finished: Data { bytes + [UInt8(ascii: ".")] }

  mutating func write(_ value: TorchValue) {
    switch value {
    case .none: opcode("N")
    case .integer(let number): write(number)
    case .text(let text): write(text)
    case .tensor(let tensor): write(tensor)
    case .dictionary(let pairs):
      opcode("}")
      if pairs.isEmpty { return }
      opcode("(")
      for (key, value) in pairs {
        write(key)
        write(value)
      }
      opcode("u")
    }
  }

  /// `_rebuild_tensor_v2(('storage', FloatStorage, name, 'cpu', count), 0, size, stride, False, OrderedDict())`.
  private mutating func write(_ tensor: HostTensor) {
    global("torch._utils", "_rebuild_tensor_v2")
    opcode("(")
    opcode("(")
    write("storage")
    global("torch", "FloatStorage")
    write("\(storages.count)")
    write("cpu")
    write(tensor.shape.count)
    opcode("t")
    opcode("Q")
    write(0)
    tuple(tensor.shape.dimensions)
    tuple(tensor.shape.dimensions.indices.map { Shape(Array(tensor.shape.dimensions[($0 + 1)...])).count })
    bytes.append(0x89)  // False
    global("collections", "OrderedDict")
    opcode(")")
    opcode("R")
    opcode("t")
    opcode("R")
    storages.append(tensor)
  }

  private mutating func tuple(_ numbers: [Int]) {
    opcode("(")
    for number in numbers { write(number) }
    opcode("t")
  }

  private mutating func write(_ number: Int) {
    if let number = Int32(exactly: number) {
      opcode("J")
      append(number)
    } else {
      bytes += [0x8A, 8]  // LONG1
      append(Int64(number))
    }
  }

  private mutating func write(_ text: String) {
    let text = Data(text.utf8)
    opcode("X")
    append(UInt32(truncatingIfNeeded: text.count))
    bytes += text
  }

  private mutating func global(_ module: String, _ name: String) {
    opcode("c")
    bytes += Data("\(module)\n\(name)\n".utf8)
  }

  private mutating func opcode(_ character: Unicode.Scalar) { bytes.append(UInt8(ascii: character)) }

  private mutating func append(_ number: some FixedWidthInteger) {
    withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
  }
}
