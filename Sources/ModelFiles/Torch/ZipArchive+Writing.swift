import Foundation
import Tensors

extension ZipArchive {
  /// A ZIP file of members that are stored as they are.
  ///
  /// - Throws: `badData` where it would be larger than 32-bit sizes can say.
  static func encode(_ members: [(name: String, data: Data)]) throws(UserError) -> Data {
    // Every header takes fewer than 256 bytes beside its name.
    let size = members.reduce(0) { $0 + $1.data.count + 2 * $1.name.utf8.count + 256 }
    guard size <= Int(UInt32.max), members.count < 0xFFFF, members.allSatisfy({ $0.name.utf8.count < 0xFFFF }) else {
      throw UserError(.badData, "\(size) bytes are too many for a PyTorch file of this kind", remedy: "use safetensors")
    }
    var file = Data()
    var directory = Data()
    for (name, data) in members {
      let name = Data(name.utf8)
      let checksum = data.withUnsafeBytes { CRC32.iso.checksum($0) }
      // Version 2.0, flags (names are UTF-8), stored, no time: the first of January 1980.
      let common =
        littleEndian(20, 2) + littleEndian(0x0800, 2) + littleEndian(0, 2) + littleEndian(0, 2) + littleEndian(0x21, 2)
        + littleEndian(Int(checksum), 4) + littleEndian(data.count, 4) + littleEndian(data.count, 4)
        + littleEndian(name.count, 2) + littleEndian(0, 2)
      // Comment, disk and attributes are none; where the member begins.
      directory +=
        littleEndian(0x0201_4B50, 4) + littleEndian(20, 2) + common + littleEndian(0, 10) + littleEndian(file.count, 4)
        + name
      file += littleEndian(0x0403_4B50, 4) + common + name + data
    }
    let start = file.count
    file += directory
    file +=
      littleEndian(0x0605_4B50, 4) + littleEndian(0, 4) + littleEndian(members.count, 2)
      + littleEndian(members.count, 2)
      + littleEndian(directory.count, 4) + littleEndian(start, 4) + littleEndian(0, 2)
    return file
  }

  private static func littleEndian(_ number: Int, _ count: Int) -> Data {
    Data((0..<count).map { $0 < 8 ? UInt8(truncatingIfNeeded: number >> (8 * $0)) : 0 })
  }
}
