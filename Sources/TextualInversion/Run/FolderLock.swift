import Foundation
import Tensors

/// The right to work in a folder, which one process has at a time. The system takes it back when the process ends, however it
/// ends.
final class FolderLock: Sendable {
  static let fileName = ".ti-gpu.lock"

  private let descriptor: Int32

  /// Takes the lock of a folder that is there.
  ///
  /// - Throws: `UserError(.cannotCreate)` where another process has it, naming that process.
  init(_ folder: URL) throws(UserError) {
    let file = folder.appendingPathComponent(Self.fileName)
    let descriptor = open(file.path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o666)
    guard descriptor >= 0 else {
      throw UserError(.cannotCreate, at: .file(file), "can't be made (\(String(cString: strerror(errno))))")
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      let holder = (try? String(contentsOf: file, encoding: .utf8)).flatMap { $0.isEmpty ? nil : " \($0)" } ?? ""
      close(descriptor)
      guard code == EWOULDBLOCK else {
        throw UserError(.cannotCreate, at: .file(file), "can't be locked (\(String(cString: strerror(code))))")
      }
      throw UserError(
        .cannotCreate, at: .file(folder), "another process\(holder) is at work in it",
        remedy: "wait until it has ended, or choose another folder")
    }
    ftruncate(descriptor, 0)
    let text = "\(getpid())"
    _ = text.withCString { write(descriptor, $0, strlen($0)) }
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }
}
