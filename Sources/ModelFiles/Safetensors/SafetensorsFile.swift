import Dispatch
import Foundation
import Synchronization
import Tensors

/// A safetensors file open for reading: eight bytes of length, a JSON header, the tensors' bytes.
///
/// The header is read and checked whole when the file is opened; a tensor's bytes are read when it is asked for.
public final class SafetensorsFile: Sendable {
  public let url: URL
  private let file: InputFile
  private let header: SafetensorsHeader
  /// Where the data begins.
  private let dataOffset: Int

  /// Throws with kind `noInput` when there is no such file and `badData` when it is not a sound safetensors file.
  public init(_ url: URL) throws(UserError) {
    self.url = url
    file = try InputFile(url)
    guard file.size >= 8 else {
      throw Self.damaged(url, file.size == 0 ? "is empty" : "has only \(file.size) bytes")
    }
    let start = try file.bytes(at: 0, count: min(file.size, TorchFile.startLength))
    let length = start.prefix(8).enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * $1.offset) }
    if TorchFile.begins(start) {
      throw UserError(
        .badData, at: .file(url), "a PyTorch pickle, not a safetensors file",
        remedy: "save it as safetensors and name that")
    }
    guard length <= UInt64(SafetensorsHeader.lengthLimit), Int(length) <= file.size - 8 else {
      throw Self.damaged(
        url, "claims a header of \(length) bytes in a file of \(file.size), so it is cut short or no safetensors file")
    }
    dataOffset = 8 + Int(length)
    do {
      header = try SafetensorsHeader(
        try file.bytes(at: 8, count: Int(length)), dataSize: file.size - dataOffset)
    } catch let error as SafetensorsHeader.Malformed {
      throw Self.damaged(url, error.reason)
    } catch let error as UserError {
      throw error
    } catch {
      throw Self.damaged(url, "\(error)")
    }
  }

  private static func damaged(_ url: URL, _ reason: String) -> UserError {
    UserError(.badData, at: .file(url), reason, remedy: "fetch or make the file again")
  }

  /// The names of the tensors, sorted.
  public var names: [String] { header.entries.keys.sorted() }

  /// The strings under `__metadata__`.
  public var metadata: [String: String] { header.metadata }

  public func contains(_ name: String) -> Bool { header.entries[name] != nil }

  /// The shape of a tensor, nil when the file has none of that name.
  public func shape(of name: String) -> Shape? { header.entries[name]?.shape }

  /// The word that the header has for a tensor's element type, such as `F16`.
  public func typeName(of name: String) -> String? { header.entries[name]?.type.rawValue }

  /// A tensor of F64, F32, F16 or BF16, as floats.
  ///
  /// - Parameter mustBeFinite: whether NaN and infinity are refused, with kind `badData`.
  public func tensor(_ name: String, mustBeFinite: Bool = true) throws(UserError) -> HostTensor {
    let entry = try entry(name)
    guard entry.type.isFloat else {
      throw UserError(.badData, at: [.file(url), .tensor(name)], "is \(entry.type.rawValue), but floats are needed")
    }
    let values = try elements(name, entry, of: Float.self) { (source, target) throws(UserError) in
      switch entry.type {
      case .float32: convertFloat32(source, target)
      case .float16: convertFloat16(source, target)
      case .bfloat16: convertBFloat16(source, target)
      default: convertFloat64(source, target)
      }
      // While the piece is in the cache.
      guard !mustBeFinite || areFinite(UnsafeBufferPointer(target)) else {
        throw UserError(
          .badData, at: [.file(url), .tensor(name)], "holds NaN or infinity", remedy: "fetch or make the file again")
      }
    }
    return HostTensor(entry.shape, values)
  }

  /// A tensor of whole numbers of any width; BOOL gives 0 and 1.
  public func integers(_ name: String) throws(UserError) -> (shape: Shape, values: [Int64]) {
    let entry = try entry(name)
    guard entry.type.isInteger else {
      throw UserError(
        .badData, at: [.file(url), .tensor(name)], "is \(entry.type.rawValue), but whole numbers are needed")
    }
    let values = try elements(name, entry, of: Int64.self) { source, target in
      switch entry.type {
      case .int64, .uint64: widen(source, target, Int64.self)
      case .int32: widen(source, target, Int32.self)
      case .int16: widen(source, target, Int16.self)
      case .int8: widen(source, target, Int8.self)
      case .uint32: widen(source, target, UInt32.self)
      case .uint16: widen(source, target, UInt16.self)
      default: widen(source, target, UInt8.self)
      }
    }
    if entry.type == .uint64, values.contains(where: { $0 < 0 }) {
      throw UserError(.badData, at: [.file(url), .tensor(name)], "has numbers beyond 63 bits")
    }
    return (entry.shape, values)
  }

  private func entry(_ name: String) throws(UserError) -> SafetensorsHeader.Entry {
    guard let entry = header.entries[name] else {
      throw UserError(.badData, at: [.file(url), .tensor(name)], "is missing", remedy: "is it the right file?")
    }
    return entry
  }

  /// Reads a tensor in pieces that stay in the cache, on all cores, and converts each.
  private func elements<Element: BitwiseCopyable>(
    _ name: String, _ entry: SafetensorsHeader.Entry, of: Element.Type,
    _ convert: (UnsafeRawBufferPointer, UnsafeMutableBufferPointer<Element>) throws(UserError) -> Void
  ) throws(UserError) -> [Element] {
    let count = entry.shape.count
    let size = entry.type.size
    // A file full of holes can be as large as it likes.
    guard count < HostMemory.limit / MemoryLayout<Element>.stride else {
      throw UserError(
        .badData, at: [.file(url), .tensor(name)], "\(entry.shape) does not fit into memory",
        remedy: "is it the right file?")
    }
    let piece = 1 << 17
    let start = dataOffset + entry.offsets.lowerBound
    let failure = Mutex<UserError?>(nil)
    let values = [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
      HostMemory.preferLargePages(UnsafeMutableRawBufferPointer(buffer))
      nonisolated(unsafe) let (buffer, convert) = (buffer, convert)
      DispatchQueue.concurrentPerform(iterations: (count + piece - 1) / piece) { index in
        guard failure.withLock({ $0 == nil }) else { return }
        let part = index * piece..<min(count, (index + 1) * piece)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: part.count * size, alignment: 64)
        defer { bytes.deallocate() }
        do throws(UserError) {
          try file.read(into: bytes, at: start + part.lowerBound * size)
          try convert(UnsafeRawBufferPointer(bytes), UnsafeMutableBufferPointer(rebasing: buffer[part]))
        } catch { failure.withLock { $0 = $0 ?? error } }
      }
      initialized = failure.withLock { $0 == nil } ? count : 0
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
    return values
  }
}
