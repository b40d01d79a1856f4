import Foundation

/// Where things are kept that can be made anew at any time.
package enum CacheFolder {
  /// The folder that the environment variable names (`off` for none), else `ti-gpu` in the user's cache folder, or a folder of
  /// that; nil where nothing is to be kept.
  package static func url(_ subfolder: String? = nil, variable: String, environment: [String: String]) -> URL? {
    if let path = environment[variable], !path.isEmpty {
      return path == "off" ? nil : URL(fileURLWithPath: path)
    }
    let folder: URL
    if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") {
      folder = URL(fileURLWithPath: cache).appendingPathComponent("ti-gpu")
    } else if let home = environment["HOME"], home.hasPrefix("/") {
      folder = URL(fileURLWithPath: home).appendingPathComponent(".cache/ti-gpu")
    } else {
      return nil
    }
    return subfolder.map { folder.appendingPathComponent($0) } ?? folder
  }
}
