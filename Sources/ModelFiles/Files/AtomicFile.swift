import Foundation
import Synchronization
import Tensors

/// Files that are written whole or not at all: under a temporary name in the same folder, flushed to the disk, renamed.
public enum AtomicFile {
  /// Where the bytes of a file in the making go.
  public struct Sink: ~Copyable {
    fileprivate let descriptor: Int32
    fileprivate let url: URL

    /// Appends bytes to the file.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(UserError) {
      var done = 0
      while done < bytes.count {
        let count = systemWrite(descriptor, bytes.baseAddress! + done, bytes.count - done)
        if count < 0 {
          if errno == EINTR { continue }
          throw failedWrite(url, errno)
        }
        done += count
      }
    }

    public func write(_ data: Data) throws(UserError) {
      var failure: UserError?
      data.withUnsafeBytes { bytes in
        do throws(UserError) { try write(bytes) } catch { failure = error }
      }
      if let failure { throw failure }
    }
  }

  /// Tells apart the temporary names that this process uses at once.
  private static let counter = Atomic<Int>(0)

  /// Writes `data` as the whole content of `url`.
  ///
  /// Throws with kind `cannotCreate` where no file can be made and `inputOutput` where the disk fails or is full; the
  /// file that stood there before is then untouched, and nothing is left behind.
  public static func write(_ data: Data, to url: URL) throws(UserError) {
    try write(to: url) { (sink: borrowing Sink) throws(UserError) in try sink.write(data) }
  }

  /// Writes what `body` sends to the sink as the whole content of `url`, with the same promises; what `body` throws
  /// is passed on.
  public static func write(to url: URL, _ body: (borrowing Sink) throws(UserError) -> Void) throws(UserError) {
    // A link stays a link: the file behind it is the one replaced.
    let target = url.resolvingSymlinksInPath()
    var information = stat()
    if stat(target.path, &information) == 0 {
      switch information.st_mode & S_IFMT {
      case S_IFREG: break
      case S_IFDIR:
        throw UserError(.cannotCreate, at: .file(url), "a folder stands there", remedy: "choose another name")
      default: return try writeInPlace(target, body)
      }
    }
    try make(url, at: target, body) { (temporary: String) throws(UserError) in
      guard rename(temporary, target.path) == 0 else { throw failedCreation(url, errno) }
    }
  }

  /// Writes `data` as the whole content of a file whose name nobody has yet, neither here nor in another process at the same
  /// time.
  ///
  /// - Returns: false where the name is taken; what has it stays as it is.
  public static func writeNew(_ data: Data, to url: URL) throws(UserError) -> Bool {
    var isNew = true
    try make(url, at: url, { (sink: borrowing Sink) throws(UserError) in try sink.write(data) }) {
      (temporary: String) throws(UserError) in
      // A second name for the file: unlike a renaming, that fails where the name is taken.
      var done = link(temporary, url.path) == 0
      if !done, errno != EEXIST {
        // A file system without such names: the name is taken first, and then replaced.
        let descriptor = open(url.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        if descriptor >= 0 { close(descriptor) }
        done = descriptor >= 0 && rename(temporary, url.path) == 0
      }
      guard done || errno == EEXIST else { throw failedCreation(url, errno) }
      unlink(temporary)
      isNew = done
    }
    return isNew
  }

  /// Writes a file under a temporary name beside `target` and has it put in its place; nothing is left behind where that fails.
  private static func make(
    _ url: URL, at target: URL, _ body: (borrowing Sink) throws(UserError) -> Void,
    place: (_ temporary: String) throws(UserError) -> Void
  ) throws(UserError) {
    let folder = target.deletingLastPathComponent()
    let number = counter.add(1, ordering: .relaxed).newValue
    // The name may be as long as the file system allows, so the temporary one does not contain it.
    let temporary = folder.appendingPathComponent(".ti-gpu-\(getpid())-\(number).partial")
    let descriptor = open(temporary.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o666)
    guard descriptor >= 0 else { throw failedCreation(url, errno) }
    var isOpen = true
    do throws(UserError) {
      try body(Sink(descriptor: descriptor, url: url))
      guard fsync(descriptor) == 0 else { throw failedWrite(url, errno) }
      isOpen = false
      guard close(descriptor) == 0 else { throw failedWrite(url, errno) }
      try place(temporary.path)
    } catch {
      if isOpen { close(descriptor) }
      unlink(temporary.path)
      throw error
    }
    // The name itself is on the disk only when its folder is; some file systems can't flush a folder, and then there
    // is nothing to do.
    let folderDescriptor = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if folderDescriptor >= 0 {
      fsync(folderDescriptor)
      close(folderDescriptor)
    }
  }

  /// Makes a folder and those above it. One that is there already is fine, as long as it can be written into; what a
  /// killed process left half-written in it goes.
  ///
  /// - Throws: `UserError(.cannotCreate)` with the system's reason, `.inputOutput` where the disk is full.
  public static func makeFolder(_ url: URL) throws(UserError) {
    try makePath(url)
    guard access(url.path, W_OK | X_OK) == 0 else { throw failedCreation(url, errno) }
    removeLeftovers(in: url)
  }

  private static func makePath(_ url: URL) throws(UserError) {
    var information = stat()
    if stat(url.path, &information) == 0 {
      guard information.st_mode & S_IFMT == S_IFDIR else {
        throw UserError(
          .cannotCreate, at: .file(url), "a file stands where the folder should be", remedy: "choose another name")
      }
      return
    }
    let parent = url.deletingLastPathComponent()
    if parent.path != url.path { try makePath(parent) }
    guard mkdir(url.path, 0o777) == 0 || errno == EEXIST else { throw failedCreation(url, errno) }
  }

  /// Removes the temporary files of processes that are no more.
  private static func removeLeftovers(in folder: URL) {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? [] {
      guard name.hasPrefix(".ti-gpu-"), name.hasSuffix(".partial") else { continue }
      guard let process = name.dropFirst(8).split(separator: "-").first.flatMap({ pid_t($0) }), process > 0 else {
        continue
      }
      if kill(process, 0) == -1, errno == ESRCH { unlink(folder.appendingPathComponent(name).path) }
    }
  }

  /// A device or a pipe can't be replaced by renaming: it takes the bytes as they come.
  private static func writeInPlace(_ url: URL, _ body: (borrowing Sink) throws(UserError) -> Void) throws(UserError) {
    let descriptor = open(url.path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failedCreation(url, errno) }
    defer { close(descriptor) }
    try body(Sink(descriptor: descriptor, url: url))
  }
}

/// `write` of the system, which the sink's own method would hide.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
  write(descriptor, bytes, count)
}

private func failedWrite(_ url: URL, _ code: Int32) -> UserError {
  let advice = code == ENOSPC || code == EDQUOT ? "make room or choose another disk" : "check the disk"
  return UserError(.inputOutput, at: .file(url), "can't be written", remedy: advice, cause: SystemError(code))
}

func failedCreation(_ url: URL, _ code: Int32) -> UserError {
  switch code {
  case ENOSPC, EDQUOT, EIO: failedWrite(url, code)
  case ENOENT:
    UserError(
      .cannotCreate, at: .file(url), "can't be made, its folder does not exist", remedy: "make the folder first")
  default:
    UserError(
      .cannotCreate, at: .file(url), "can't be made", remedy: "choose another place", cause: SystemError(code))
  }
}
