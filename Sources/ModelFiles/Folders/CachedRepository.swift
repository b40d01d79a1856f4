import Foundation
import Tensors

/// A repository in Hugging Face's cache: `models--owner--name` with `refs/`, which name commits, and `snapshots/`, a folder of
/// links for each commit.
struct CachedRepository {
  /// A commit's folder, its name, and why it was chosen, in words.
  let snapshot: (url: URL, name: String, reason: String)

  /// Nil where the folder is no such repository.
  ///
  /// - Throws: `UserError(.noInput)` where it holds no snapshot.
  init?(_ folder: URL) throws(UserError) {
    let snapshots = folder.appendingPathComponent("snapshots")
    var isFolder: ObjCBool = false
    guard !folder.appendingPathComponent("model_index.json").isThere,
      FileManager.default.fileExists(atPath: snapshots.path, isDirectory: &isFolder), isFolder.boolValue
    else { return nil }
    let all = (try? FileManager.default.contentsOfDirectory(atPath: snapshots.path)) ?? []
    // Of a commit that was fetched in part only, a model can't be made.
    let names = all.filter { snapshots.appendingPathComponent("\($0)/model_index.json").isThere }
    let main = (try? Data(contentsOfInput: folder.appendingPathComponent("refs/main"), limit: 1000)).map {
      String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
    let name: String
    let reason: String
    if let main, names.contains(main) {
      (name, reason) = (main, "which refs/main names")
    } else if let newest = names.max(by: { Self.age($0, snapshots) < Self.age($1, snapshots) }) {
      (name, reason) = (newest, names.count == 1 ? "the only one" : "the newest of \(names.count)")
    } else {
      throw UserError(
        .noInput, at: .file(folder), "a folder of Hugging Face's cache, but no snapshot in it holds a model_index.json",
        remedy: "fetch the model again")
    }
    snapshot = (snapshots.appendingPathComponent(name), name, reason)
  }

  /// When a snapshot was made; by name where two are of one time.
  private static func age(_ name: String, _ snapshots: URL) -> (Date, String) {
    let attributes = try? FileManager.default.attributesOfItem(atPath: snapshots.appendingPathComponent(name).path)
    return (attributes?[.modificationDate] as? Date ?? .distantPast, name)
  }
}
