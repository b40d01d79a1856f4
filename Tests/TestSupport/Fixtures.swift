import Foundation

/// The files under `Tests/Fixtures`, found from where this source file lies.
public enum Fixtures {
  public static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures")

  /// The fixture at `path` under the folder, such as `sd1-like/trace.safetensors`.
  public static func url(_ path: String) -> URL { folder.appendingPathComponent(path) }
}
