import Foundation
import Tensors

/// Folders that results go into.
public enum OutputFolder {
  /// Makes a folder and all above it; one that is there already is fine, as long as it can be written into.
  ///
  /// - Throws: `UserError(.cannotCreate)` with the system's reason, `.inputOutput` where the disk is full.
  public static func create(_ url: URL) throws(UserError) {
    try make(url)
    guard access(url.path, W_OK | X_OK) == 0 else { throw failedCreation(url, errno) }
  }

  private static func make(_ url: URL) throws(UserError) {
    var information = stat()
    if stat(url.path, &information) == 0 {
      guard information.st_mode & S_IFMT == S_IFDIR else {
        throw UserError(.cannotCreate, "\(url.path): a file stands where a folder is needed; choose another name")
      }
      return
    }
    let parent = url.deletingLastPathComponent()
    if parent.path != url.path { try make(parent) }
    guard mkdir(url.path, 0o777) == 0 || errno == EEXIST else { throw failedCreation(url, errno) }
  }
}
