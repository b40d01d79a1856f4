import Foundation
import Tensors

/// The system's own words for an `errno`.
func systemMessage(_ code: Int32) -> String { String(cString: strerror(code)) }

/// A file that can't be read: missing, a folder, or not ours to read.
func unreadable(_ url: URL, _ code: Int32) -> UserError {
  switch code {
  case ENOENT, ENOTDIR: UserError(.noInput, "\(url.path): no such file; check the path")
  case EISDIR: UserError(.noInput, "\(url.path): a folder where a file is needed; name a file in it")
  case EIO: UserError(.inputOutput, "\(url.path): can't be read (\(systemMessage(code))); check the disk")
  default: UserError(.noInput, "\(url.path): can't be read (\(systemMessage(code))); check its permissions")
  }
}
