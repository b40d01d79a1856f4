import Crypto
import Foundation
import Tensors

/// Built programs on disk, so that a second run compiles nothing.
///
/// A file is the SHA-256 of the binary, then the binary. It is written under another name and renamed: a reader finds a whole
/// file or none. One that is cut short, changed or refused by the driver counts as missing and is written anew. Nothing here
/// fails a run: a cache that can't be read or written is only slow.
struct ProgramCache: Sendable {
  /// Changes with what a file holds.
  static let formatVersion = 1

  /// Where programs are kept.
  enum Location: Sendable, Hashable {
    /// `$TI_GPU_PROGRAM_CACHE` if that is set (`off` for no cache), else `ti-gpu` in the user's cache folder.
    case standard
    case folder(URL)
    case disabled
  }

  private let folder: URL?

  init(_ location: Location, environment: [String: String] = ProcessInfo.processInfo.environment) {
    switch location {
    case .disabled: folder = nil
    case .folder(let url): folder = url
    case .standard: folder = CacheFolder.url(variable: "TI_GPU_PROGRAM_CACHE", environment: environment)
    }
  }

  /// The cache that suits a device: PoCL keeps what it builds itself, and asked for a program's binary it first builds every
  /// kernel a second time, for groups of any size.
  init(_ location: Location, for device: OpenCLDevice) {
    let keepsItsOwn = device.platform.hasPrefix("Portable Computing Language")
    self.init(location == .standard && keepsItsOwn ? .disabled : location)
  }

  /// Whether anything is kept at all.
  var isEnabled: Bool { folder != nil }

  func file(_ key: String) -> URL? { folder?.appendingPathComponent(key + ".program") }

  /// The binary kept under `key`, if it is whole.
  func load(_ key: String) -> [UInt8]? {
    guard let file = file(key), let data = try? Data(contentsOf: file), data.count > SHA256.byteCount else {
      return nil
    }
    let binary = data.dropFirst(SHA256.byteCount)
    guard Data(SHA256.hash(data: binary)) == data.prefix(SHA256.byteCount) else { return nil }
    return [UInt8](binary)
  }

  func store(_ binary: [UInt8], _ key: String) {
    guard let folder, let file = file(key) else { return }
    try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let temporary = folder.appendingPathComponent(".\(key).\(UUID().uuidString)")
    do {
      try (Data(SHA256.hash(data: binary)) + binary).write(to: temporary)
    } catch {
      try? FileManager.default.removeItem(at: temporary)
      return
    }
    if rename(temporary.path, file.path) != 0 { try? FileManager.default.removeItem(at: temporary) }
  }
}
