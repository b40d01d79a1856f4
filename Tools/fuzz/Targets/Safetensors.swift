import Foundation
import ModelFiles
import TextualInversion

extension FuzzTarget {
  /// A safetensors file: its tensors, and a word out of it.
  static let safetensors = FuzzTarget("safetensors") { bytes in
    let url = safetensorsFile(bytes)
    expecting { _ = try EmbeddingFile.read(url) }
    let tensors = try SafetensorsFile(url)
    for name in tensors.names {
      expecting { _ = try tensors.tensor(name) }
      expecting { _ = try tensors.integers(name) }
    }
  }
}

/// A file of these bytes; where they begin as a header does, its first line gets its length in front and the data follow, so that
/// mutations of its text get past the length.
func safetensorsFile(_ bytes: Data) -> URL {
  guard bytes.first == UInt8(ascii: "{") else { return file("word.safetensors", bytes) }
  let parts = bytes.split(separator: 0x0A, maxSplits: 1, omittingEmptySubsequences: false)
  let length = withUnsafeBytes(of: UInt64(parts[0].count).littleEndian) { Data($0) }
  return file("word.safetensors", length + parts[0] + (parts.count > 1 ? parts[1] : Data()))
}
