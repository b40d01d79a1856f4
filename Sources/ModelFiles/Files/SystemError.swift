import Foundation
import Tensors

/// The system's own words for an `errno`.
func systemMessage(_ code: Int32) -> String { String(cString: strerror(code)) }

/// A file that can't be read: missing, a folder, or not ours to read.
func unreadable(_ url: URL, _ code: Int32) -> UserError {
  switch code {
  case ENOENT, ENOTDIR, ELOOP: missing(url, "no such file; check the path")
  case EISDIR: UserError(.noInput, "\(url.path): a folder where a file is needed; name a file in it")
  case EIO: UserError(.inputOutput, "\(url.path): can't be read (\(systemMessage(code))); check the disk")
  default: UserError(.noInput, "\(url.path): can't be read (\(systemMessage(code))); check its permissions")
  }
}

/// A path at which nothing is: said as `problem`, or by the link on the way that leads nowhere.
func missing(_ url: URL, _ problem: String) -> UserError {
  var path = "/"
  for component in url.pathComponents where component != "/" {
    path = (path as NSString).appendingPathComponent(component)
    if let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path),
      !FileManager.default.fileExists(atPath: path)
    {
      return UserError(
        .noInput,
        "\(path): a link to \(target), where nothing is; fetch the file again, or copy what it leads to (cp -rL)")
    }
  }
  return UserError(.noInput, "\(url.path): \(problem)")
}

extension URL {
  /// Whether there is something at the path, be it a link that leads nowhere: that is opened as a file would be, and then says
  /// what is wrong.
  public var isThere: Bool {
    var information = stat()
    return lstat(path, &information) == 0
  }
}
