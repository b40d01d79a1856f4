import Foundation
import Tensors

/// A regular file open for reading at any offset, from several threads at once.
///
/// Plain positioned reads, no mapping: a file that shrinks while it is open is an error here and would be a crash
/// there.
final class InputFile: Sendable {
  let url: URL
  /// Bytes the file held when it was opened.
  let size: Int
  private let descriptor: Int32

  init(_ url: URL) throws(UserError) {
    self.url = url
    // Without O_NONBLOCK a named pipe would wait here for a writer that may never come.
    descriptor = open(url.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw unreadable(url, errno) }
    var information = stat()
    guard fstat(descriptor, &information) == 0 else {
      let code = errno
      close(descriptor)
      throw unreadable(url, code)
    }
    guard information.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      if information.st_mode & S_IFMT == S_IFDIR { throw unreadable(url, EISDIR) }
      throw UserError(.noInput, at: .file(url), "not a regular file", remedy: "name one")
    }
    size = Int(information.st_size)
    let start = try bytes(at: 0, count: min(size, StandIn.length))
    if let error = StandIn.error(url, start) { throw error }
  }

  deinit { close(descriptor) }

  /// Fills `target` with the bytes from `offset` on.
  func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(UserError) {
    var done = 0
    while done < target.count {
      let count = pread(descriptor, target.baseAddress! + done, target.count - done, off_t(offset + done))
      if count < 0 {
        if errno == EINTR { continue }
        throw unreadable(url, errno)
      }
      guard count > 0 else {
        throw UserError(
          .badData, at: .file(url), "ends at byte \(offset + done), too early", remedy: "fetch or copy the file again")
      }
      done += count
    }
  }

  /// The `count` bytes from `offset` on.
  func bytes(at offset: Int, count: Int) throws(UserError) -> [UInt8] {
    var failure: UserError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      do throws(UserError) {
        try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
        initialized = count
      } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }
}

extension Data {
  /// The first bytes of a regular file, at most `count`.
  package init(startOfInput url: URL, count: Int) throws(UserError) {
    let file = try InputFile(url)
    self = Data(try file.bytes(at: 0, count: Swift.min(file.size, count)))
  }

  /// The whole of a regular file, refused with kind `badData` beyond `limit` bytes.
  public init(contentsOfInput url: URL, limit: Int) throws(UserError) {
    let file = try InputFile(url)
    guard file.size <= limit else {
      throw UserError(
        .badData, at: .file(url), "\(file.size) bytes, over the limit of \(limit)", remedy: "is it the right file?")
    }
    self = Data(try file.bytes(at: 0, count: file.size))
  }
}
