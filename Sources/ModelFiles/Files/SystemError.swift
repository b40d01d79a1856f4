import Foundation
import Tensors

/// The system's own word for what went wrong.
package struct SystemError: Error, CustomStringConvertible {
  let code: Int32

  package init(_ code: Int32 = errno) { self.code = code }

  package var description: String { String(cString: strerror(code)) }
}

/// A file that can't be read: missing, a folder, or not ours to read.
package func unreadable(_ url: URL, _ code: Int32) -> UserError {
  switch code {
  case ENOENT, ENOTDIR, ELOOP: missing(url, "no such file", remedy: "check the path")
  case EISDIR: UserError(.noInput, at: .file(url), "a folder where a file is needed", remedy: "name a file in it")
  case EIO: UserError(.inputOutput, at: .file(url), "can't be read", remedy: "check the disk", cause: SystemError(code))
  default:
    UserError(.noInput, at: .file(url), "can't be read", remedy: "check its permissions", cause: SystemError(code))
  }
}

/// A path at which nothing is: said as `problem`, or by the link on the way that leads nowhere, or by a name that is no text.
package func missing(_ url: URL, _ problem: String, remedy: String) -> UserError {
  var path = "/"
  for component in url.pathComponents where component != "/" {
    path = (path as NSString).appendingPathComponent(component)
    if let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path),
      !FileManager.default.fileExists(atPath: path)
    {
      return UserError(
        .noInput, at: .file(URL(fileURLWithPath: path)), "a link to \(target), where nothing is",
        remedy: "fetch the file again, or copy what it leads to (cp -rL)")
    }
  }
  // What is not UTF-8 reaches a Swift program with these in its place.
  let isText = !url.path.unicodeScalars.contains("\u{FFFD}")
  return UserError(
    .noInput, at: .file(url), problem, remedy: isText ? remedy : "where its name is not UTF-8, rename it")
}

extension URL {
  /// Whether there is something at the path, be it a link that leads nowhere: that is opened as a file would be, and then says
  /// what is wrong.
  public var isThere: Bool {
    var information = stat()
    return lstat(path, &information) == 0
  }
}
