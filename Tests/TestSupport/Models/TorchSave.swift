import Foundation
import ModelFiles
import Tensors

/// What `torch.save` writes of a dictionary of float tensors, in its present layout and in the one before PyTorch 1.6, by the rules of
/// `torch/serialization.py` and `pickletools`. `torch.load(weights_only=True)` reads both.
public enum TorchSave {
  public enum Layout: Sendable { case zip, legacy }

  /// - Parameter root: the key of an outer dictionary that the tensors stand under; none where nil.
  public static func encode(
    _ tensors: [(name: String, tensor: HostTensor)], root: String? = "state_dict", layout: Layout
  ) -> Data {
    var pickle = Pickle()
    if let root {
      pickle.dictionary([root]) { pickle, _ in pickle.write(tensors, layout) }
    } else {
      pickle.write(tensors, layout)
    }
    let storages = tensors.map { $0.tensor.values.withUnsafeBytes { Data($0) } }
    switch layout {
    case .zip:
      let members = storages.enumerated().map { ("archive/data/\($0)", $1) }
      return zip([("archive/data.pkl", pickle.finished)] + members + [("archive/version", Data("3\n".utf8))])
    case .legacy:
      var (magic, version, machine, keys) = (Pickle(), Pickle(), Pickle(), Pickle())
      magic.bytes += [0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]  // 0x1950a86a20f9469cfc6c
      version.write(1001)
      machine.dictionary(["protocol_version", "little_endian"]) { pickle, key in
        if key == "little_endian" { pickle.bytes.append(0x88) } else { pickle.write(1001) }
      }
      keys.bytes += Data("](".utf8)
      for index in tensors.indices { keys.write("\(index)") }
      keys.bytes += Data("e".utf8)
      var file = Data()
      for pickle in [magic, version, machine, pickle, keys] { file += pickle.finished }
      for storage in storages {
        file += bytes(UInt64(storage.count / 4))
        file += storage
      }
      return file
    }
  }

  private struct Pickle {
    var bytes = Data([0x80, 2])
    var finished: Data { bytes + Data(".".utf8) }

    mutating func write(_ number: Int) { bytes += Data("J".utf8) + TorchSave.bytes(Int32(number)) }

    mutating func write(_ text: String) {
      bytes += Data("X".utf8) + TorchSave.bytes(UInt32(text.utf8.count)) + Data(text.utf8)
    }

    mutating func dictionary(_ keys: [String], _ value: (inout Pickle, String) -> Void) {
      bytes += Data("}(".utf8)
      for key in keys {
        write(key)
        value(&self, key)
      }
      bytes += Data("u".utf8)
    }

    mutating func tuple(_ numbers: [Int]) {
      bytes += Data("(".utf8)
      for number in numbers { write(number) }
      bytes += Data("t".utf8)
    }

    mutating func write(_ tensors: [(name: String, tensor: HostTensor)], _ layout: Layout) {
      let places = Dictionary(tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
      dictionary(tensors.map(\.name)) { pickle, name in
        guard let index = places[name] else { return }
        let shape = tensors[index].tensor.shape.dimensions
        pickle.bytes += Data("ctorch._utils\n_rebuild_tensor_v2\n((".utf8)
        pickle.write("storage")
        pickle.bytes += Data("ctorch\nFloatStorage\n".utf8)
        pickle.write("\(index)")
        pickle.write("cpu")
        pickle.write(shape.reduce(1, *))
        // The older layout has a view of a storage here, which nobody has written for long.
        pickle.bytes += Data((layout == .legacy ? "NtQ" : "tQ").utf8)
        pickle.write(0)
        pickle.tuple(shape)
        pickle.tuple(shape.indices.map { shape[($0 + 1)...].reduce(1, *) })
        pickle.bytes += Data([0x89]) + Data("ccollections\nOrderedDict\n)RtR".utf8)
      }
    }
  }

  private static func bytes(_ number: some FixedWidthInteger) -> Data {
    withUnsafeBytes(of: number.littleEndian) { Data($0) }
  }

  /// Members that are stored as they are, each with its checksum (PKWARE's APPNOTE, 4.3).
  private static func zip(_ members: [(name: String, data: Data)]) -> Data {
    var (file, directory) = (Data(), Data())
    for (name, data) in members {
      var common = bytes(20 as UInt16) + Data(count: 8)
      common += bytes(data.withUnsafeBytes { CRC32.iso.checksum($0) })
      common += bytes(UInt32(data.count)) + bytes(UInt32(data.count))
      common += bytes(UInt16(name.utf8.count)) + Data(count: 2)
      directory += bytes(0x0201_4B50 as UInt32) + bytes(20 as UInt16)
      directory += common + Data(count: 10)
      directory += bytes(UInt32(file.count)) + Data(name.utf8)
      file += bytes(0x0403_4B50 as UInt32) + common
      file += Data(name.utf8) + data
    }
    var end = bytes(0x0605_4B50 as UInt32) + Data(count: 4)
    end += bytes(UInt16(members.count)) + bytes(UInt16(members.count))
    end += bytes(UInt32(directory.count)) + bytes(UInt32(file.count)) + Data(count: 2)
    return file + directory + end
  }
}
