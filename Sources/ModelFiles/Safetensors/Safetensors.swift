import Foundation
import Tensors

/// Writing safetensors files, byte for byte as the format's own library lays them out.
public enum Safetensors {
  /// The file's bytes for tensors of one element type.
  ///
  /// - Parameters:
  ///   - tensors: names, which must differ, and values; stored sorted by name.
  ///   - metadata: `["format": "pt"]` is what PyTorch's tools look for.
  ///   - type: how the values are stored; 16-bit types round to the nearest.
  public static func encode(
    _ tensors: [(name: String, tensor: HostTensor)], metadata: [String: String] = ["format": "pt"],
    type: ElementType = .float32
  ) -> Data {
    let sorted = tensors.sorted { precedes($0.name, $1.name) }
    var data = header(sorted.map { ($0.name, $0.tensor.shape) }, metadata: metadata, type: type)
    for (_, tensor) in sorted { data.append(bytes(tensor.values, type)) }
    return data
  }

  /// Writes `encode`'s bytes to a file, whole or not at all.
  public static func write(
    _ tensors: [(name: String, tensor: HostTensor)], metadata: [String: String] = ["format": "pt"],
    type: ElementType = .float32, to url: URL
  ) throws(UserError) {
    try AtomicFile.write(encode(tensors, metadata: metadata, type: type), to: url)
  }

  /// Writes a file of any size tensor by tensor: `tensor` is asked for each in the order of the file, and only one is
  /// in memory.
  public static func write(
    shapes: [(name: String, shape: Shape)], metadata: [String: String] = ["format": "pt"],
    type: ElementType = .float32, to url: URL,
    tensor: (_ name: String, _ shape: Shape) throws(UserError) -> HostTensor
  ) throws(UserError) {
    let sorted = shapes.sorted { precedes($0.name, $1.name) }
    let start = header(sorted, metadata: metadata, type: type)
    try AtomicFile.write(to: url) { (sink: borrowing AtomicFile.Sink) throws(UserError) in
      try sink.write(start)
      for (name, shape) in sorted {
        let tensor = try tensor(name, shape)
        guard tensor.shape == shape else {
          throw UserError(.badData, at: .tensor(name), "is \(tensor.shape), announced as \(shape)")
        }
        try sink.write(bytes(tensor.values, type))
      }
    }
  }

  /// Length, JSON and the blanks that round it up to eight bytes.
  private static func header(
    _ tensors: [(name: String, shape: Shape)], metadata: [String: String], type: ElementType
  ) -> Data {
    var members: [String] = []
    if !metadata.isEmpty {
      let strings = metadata.sorted { precedes($0.key, $1.key) }.map {
        "\(JSONText.quoted($0.key)):\(JSONText.quoted($0.value))"
      }
      members.append("\"__metadata__\":{\(strings.joined(separator: ","))}")
    }
    let word =
      switch type {
      case .float32: "F32"
      case .float16: "F16"
      case .bfloat16: "BF16"
      }
    var offset = 0
    for (name, shape) in tensors {
      let end = offset + shape.count * type.size
      let dimensions = shape.dimensions.map(String.init).joined(separator: ",")
      members.append(
        "\(JSONText.quoted(name)):{\"dtype\":\"\(word)\",\"shape\":[\(dimensions)],\"data_offsets\":[\(offset),\(end)]}"
      )
      offset = end
    }
    var text = Data("{\(members.joined(separator: ","))}".utf8)
    while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) } + text
  }

  private static func bytes(_ values: [Float], _ type: ElementType) -> Data {
    switch type {
    case .float32: values.withUnsafeBytes { Data($0) }
    case .float16: values.map(float16Bits).withUnsafeBytes { Data($0) }
    case .bfloat16: values.map(bfloat16Bits).withUnsafeBytes { Data($0) }
    }
  }

  /// The format's order: by the names' bytes, not by what they look like.
  private static func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }
}
