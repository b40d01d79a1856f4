import Foundation
import Tensors

/// A file of `torch.save`, in its present form (a ZIP file) or the one before PyTorch 1.6: read for its tensors, and nothing in
/// it is run.
public struct TorchFile: Sendable {
  public let url: URL
  /// What was saved.
  package let value: PickleValue
  /// What holds the tensors: what was saved, or the `state_dict` in it.
  package var tensorDictionary: PickleValue { value["state_dict"] ?? value }

  private let file: InputFile
  /// Where the bytes of each storage lie.
  private let storages: [String: Range<Int>]

  /// The largest pickle: that of a checkpoint of thousands of tensors takes less than a megabyte.
  private static let largestPickle = 32 << 20

  /// How many bytes `begins` looks at.
  static let startLength = 9

  /// Whether a file begins as one of PyTorch's. The length of a safetensors header, such as 640, may look like the start of a
  /// pickle; its JSON begins behind that.
  static func begins(_ start: [UInt8]) -> Bool {
    if start.count >= startLength, start[startLength - 1] == UInt8(ascii: "{") { return false }
    return start.starts(with: [0x50, 0x4B, 3, 4]) || (start.count > 1 && start[0] == 0x80 && (2...5).contains(start[1]))
  }

  /// Whether a file is one of PyTorch's by its first bytes.
  package static func isOne(_ url: URL) throws(UserError) -> Bool {
    let file = try InputFile(url)
    return begins(try file.bytes(at: 0, count: min(file.size, startLength)))
  }

  /// Opens a file and reads what it says of its tensors; the numbers stay on the disk.
  ///
  /// - Throws: `UserError(.noInput)` for a missing file, `.badData` for one that is none of PyTorch's, is damaged, or wants
  ///   something to be run.
  public init(_ url: URL) throws(UserError) {
    self.url = url
    file = try InputFile(url)
    guard file.size >= 4 else {
      throw UserError(
        .badData, at: .file(url), "its \(file.size) bytes are no PyTorch file", remedy: "is it the right one?")
    }
    let start = try file.bytes(at: 0, count: min(file.size, Self.startLength))
    if start.starts(with: [0x50, 0x4B, 3, 4]) {
      (value, storages) = try Self.zipped(file)
    } else if Self.begins(start) {
      (value, storages) = try Self.legacy(file)
    } else {
      throw UserError(.badData, at: .file(url), "no PyTorch file", remedy: "is it the right one?")
    }
  }

  private static func pickle(_ file: InputFile, _ reader: ByteReader) throws(UserError) -> (
    value: PickleValue, rest: ByteReader
  ) {
    do { return try PickleMachine.read(reader) } catch {
      throw UserError(.badData, at: .file(file.url), error.reason, remedy: error.remedy)
    }
  }

  /// The present form: `NAME/data.pkl` beside `NAME/data/KEY` for every storage.
  private static func zipped(_ file: InputFile) throws(UserError) -> (PickleValue, [String: Range<Int>]) {
    let archive = try ZipArchive(file)
    let suffix = "data.pkl"
    guard let name = archive.members.keys.first(where: { $0 == suffix || $0.hasSuffix("/" + suffix) }),
      let place = archive.members[name]
    else {
      throw UserError(
        .badData, at: .file(file.url), "a ZIP file that PyTorch did not write", remedy: "is it the right one?")
    }
    guard place.count <= largestPickle else {
      throw UserError(
        .badData, at: .file(file.url), "its pickle takes \(place.count) bytes", remedy: "is it the right file?")
    }
    let order = name.dropLast(suffix.count) + "byteorder"
    if let place = archive.members[String(order)], place.count < 16,
      String(decoding: try file.bytes(at: place.lowerBound, count: place.count), as: UTF8.self) == "big"
    {
      throw UserError(
        .badData, at: .file(file.url), "its numbers are big-endian", remedy: "save it again on a little-endian machine")
    }
    let value = try pickle(file, ByteReader(try file.bytes(at: place.lowerBound, count: place.count))).value
    let prefix = name.dropLast(suffix.count) + "data/"
    let storages = archive.members.filter { $0.key.hasPrefix(prefix) }
      .map { (String($0.key.dropFirst(prefix.count)), $0.value) }
    return (value, Dictionary(storages, uniquingKeysWith: { first, _ in first }))
  }

  /// The form before: pickles of a magic number, a version, the machine's properties, the value and the storages' names, then
  /// each storage's count and bytes.
  private static func legacy(_ file: InputFile) throws(UserError) -> (PickleValue, [String: Range<Int>]) {
    // The pickles stand at the front, but how long they are only reading them tells.
    var reader = ByteReader(try file.bytes(at: 0, count: min(file.size, largestPickle)))
    for _ in 0..<3 { reader = try pickle(file, reader).rest }
    let (value, behind) = try pickle(file, reader)
    let (names, end) = try pickle(file, behind)
    func damaged() -> UserError {
      UserError(.badData, at: .file(file.url), "ends too early", remedy: "fetch or make the file again")
    }
    guard case .list(let keys) = names else { throw damaged() }
    var types: [String: PickledTensor] = [:]
    value.forEachTensor { types[$0.storage] = $0 }
    var storages: [String: Range<Int>] = [:]
    var place = end.position
    for case .text(let key) in keys {
      guard place <= file.size - 8 else { throw damaged() }
      var count = ByteReader(try file.bytes(at: place, count: 8))
      guard let tensor = types[key] else { throw damaged() }
      guard let count = count.number(8), count == tensor.storageCount,
        count <= (file.size - place - 8) / tensor.type.size
      else { throw damaged() }
      storages[key] = place + 8..<place + 8 + count * tensor.type.size
      place += 8 + count * tensor.type.size
    }
    return (value, storages)
  }

  /// A tensor of F64, F32, F16 or BF16, as floats in row-major order.
  package func tensor(_ tensor: PickledTensor) throws(UserError) -> HostTensor {
    let shape = Shape(tensor.dimensions)
    let damaged = UserError(
      .badData, at: .file(url), "its storage \(quoted(tensor.storage)) is damaged",
      remedy: "fetch or make the file again")
    guard tensor.type.isFloat else {
      throw UserError(.badData, at: .file(url), "a tensor is \(tensor.type.rawValue), but floats are needed")
    }
    guard !tensor.dimensions.contains(0) else { return HostTensor(shape, []) }
    guard let storage = storages[tensor.storage] else { throw damaged }
    let size = tensor.type.size
    let last = zip(tensor.dimensions, tensor.strides).reduce(tensor.offset) { $0 + ($1.0 - 1) * $1.1 }
    guard last < storage.count / size else { throw damaged }
    let count = last + 1 - tensor.offset
    guard max(count, shape.count) < HostMemory.limit / 8 else {
      throw UserError(
        .badData, at: .file(url), "\(shape) does not fit into memory", remedy: "is it the right file?")
    }
    let bytes = try file.bytes(at: storage.lowerBound + tensor.offset * size, count: count * size)
    let values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      bytes.withUnsafeBytes { source in
        let target = UnsafeMutableBufferPointer(rebasing: buffer[..<count])
        switch tensor.type {
        case .float32: convertFloat32(source, target)
        case .float16: convertFloat16(source, target)
        case .bfloat16: convertBFloat16(source, target)
        default: convertFloat64(source, target)
        }
      }
      initialized = count
    }
    return HostTensor(shape, tensor.isRowMajor ? values : tensor.gathered(values))
  }
}

extension PickledTensor {
  /// Whether the elements lie one behind the other in row-major order.
  fileprivate var isRowMajor: Bool {
    var expected = 1
    for (dimension, stride) in zip(dimensions, strides).reversed() where dimension > 1 {
      if stride != expected { return false }
      expected *= dimension
    }
    return true
  }

  /// The elements in row-major order out of a span that begins with the first.
  fileprivate func gathered(_ span: [Float]) -> [Float] {
    var values: [Float] = []
    values.reserveCapacity(dimensions.reduce(1, *))
    var index = Array(repeating: 0, count: dimensions.count)
    while true {
      values.append(span[zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }])
      var axis = dimensions.count - 1
      while axis >= 0 {
        index[axis] += 1
        if index[axis] < dimensions[axis] { break }
        index[axis] = 0
        axis -= 1
      }
      if axis < 0 { return values }
    }
  }
}

extension PickleValue {
  /// Every tensor in it.
  func forEachTensor(_ body: (PickledTensor) -> Void) {
    switch self {
    case .tensor(let tensor): body(tensor)
    case .list(let elements): for element in elements { element.forEachTensor(body) }
    case .dictionary(let pairs): for pair in pairs { pair.value.forEachTensor(body) }
    default: break
    }
  }

  /// What stands in it under text keys, at most three deep and in its order, up to the hundred thousandth; keys of keys have dots
  /// between them. A value that is no dictionary itself has the empty name.
  package func walk(_ body: (_ name: String, _ value: PickleValue) -> Void) {
    var count = 0
    func walk(_ value: PickleValue, _ name: String, depth: Int) {
      count += 1
      guard count <= 100_000 else { return }
      guard case .dictionary(let pairs) = value, depth < 3 else { return body(name, value) }
      // Longer keys are no names, and repeated often enough they would fill the memory.
      for case (.text(let key), let value) in pairs where key.utf8.count <= 512 {
        walk(value, depth == 0 ? key : "\(name).\(key)", depth: depth + 1)
      }
    }
    walk(self, "", depth: 0)
  }

  /// The value of a text key of a dictionary.
  package subscript(_ key: String) -> PickleValue? {
    guard case .dictionary(let pairs) = self else { return nil }
    // Of a key that was set twice, the last counts.
    for case (.text(key), let value) in pairs.reversed() { return value }
    return nil
  }
}
