import Foundation
import Tensors

/// A repository in Hugging Face's cache: `models--owner--name` with `refs/`, which name commits, and `snapshots/`, a folder of
/// links for each commit.
package struct CachedRepository {
  /// A commit's folder, its name, and why it was chosen, in words.
  package let snapshot: (url: URL, name: String, reason: String)

  /// Nil where the folder is no such repository.
  ///
  /// - Parameter revision: a commit, the beginning of one, or what refers to one, such as a branch; `main` or else the newest by default.
  /// - Throws: `UserError(.noInput)` where it holds no such snapshot.
  package init?(_ folder: URL, revision: String? = nil) throws(UserError) {
    let snapshots = folder.appendingPathComponent("snapshots")
    var isFolder: ObjCBool = false
    guard !folder.appendingPathComponent("model_index.json").isThere,
      FileManager.default.fileExists(atPath: snapshots.path, isDirectory: &isFolder), isFolder.boolValue
    else { return nil }
    let all = (try? FileManager.default.contentsOfDirectory(atPath: snapshots.path)) ?? []
    // Of a commit that was fetched in part only, a model can't be made.
    let names = all.filter { Self.holdsModel(snapshots.appendingPathComponent($0)) }
    // What a reference says; none leads out of the folder.
    func commit(_ reference: String) -> String? {
      guard !reference.split(separator: "/").contains("..") else { return nil }
      let file = folder.appendingPathComponent("refs/\(reference)")
      return (try? Data(contentsOfInput: file, limit: 1000)).map {
        String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
      }
    }
    let name: String
    let reason: String
    if let revision {
      if let commit = commit(revision), names.contains(commit) {
        (name, reason) = (commit, "which refs/\(revision) names")
      } else if let commit = names.first(where: { $0.hasPrefix(revision) }) {
        (name, reason) = (commit, "the one asked for")
      } else {
        throw UserError(
          .noInput, at: .file(folder), "holds no whole snapshot of the revision \(quoted(revision))",
          remedy: "fetch it, or name one that is there")
      }
    } else if let main = commit("main"), names.contains(main) {
      (name, reason) = (main, "which refs/main names")
    } else if let newest = names.max(by: { Self.age($0, snapshots) < Self.age($1, snapshots) }) {
      (name, reason) = (newest, names.count == 1 ? "the only one" : "the newest of \(names.count)")
    } else {
      throw UserError(
        .noInput, at: .file(folder), "a folder of Hugging Face's cache, but no snapshot in it holds a model",
        remedy: "fetch the model again")
    }
    snapshot = (snapshots.appendingPathComponent(name), name, reason)
  }

  private static func holdsModel(_ snapshot: URL) -> Bool {
    snapshot.appendingPathComponent("model_index.json").isThere || !checkpoints(in: snapshot).isEmpty
  }

  /// The models in one file that lie in a folder.
  package static func checkpoints(in folder: URL) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? [])
      .filter { $0.hasSuffix(".safetensors") || $0.hasSuffix(".ckpt") }
      .filter { folder.appendingPathComponent($0).isThere }.sorted()
  }

  /// When a snapshot was made; by name where two are of one time.
  private static func age(_ name: String, _ snapshots: URL) -> (Date, String) {
    let attributes = try? FileManager.default.attributesOfItem(atPath: snapshots.appendingPathComponent(name).path)
    return (attributes?[.modificationDate] as? Date ?? .distantPast, name)
  }
}

/// A model's name on Hugging Face's hub: `owner/name`, or `owner/name@revision`.
package struct HubName: CustomStringConvertible {
  package let repository: String
  package let revision: String?

  /// Nil where the text can't be one.
  package init?(_ text: String) {
    let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    let names = parts[0].split(separator: "/", omittingEmptySubsequences: false)
    func isName(_ text: Substring) -> Bool {
      !text.isEmpty && text.first != "."
        && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }
    }
    guard names.count == 2, names.allSatisfy(isName), parts.count == 1 || !parts[1].isEmpty else { return nil }
    repository = String(parts[0])
    revision = parts.count == 2 ? String(parts[1]) : nil
  }

  package var description: String { revision.map { "\(repository)@\($0)" } ?? repository }

  /// Where Hugging Face's libraries keep what they fetch, by the variables that they go by.
  package static func cache(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> URL {
    func folder(_ variable: String, _ inner: String) -> URL? {
      guard let path = environment[variable], !path.isEmpty else { return nil }
      let url = URL(fileURLWithPath: (path as NSString).expandingTildeInPath)
      return inner.isEmpty ? url : url.appendingPathComponent(inner)
    }
    return folder("HF_HUB_CACHE", "") ?? folder("HUGGINGFACE_HUB_CACHE", "") ?? folder("HF_HOME", "hub")
      ?? folder("XDG_CACHE_HOME", "huggingface/hub") ?? folder("HOME", ".cache/huggingface/hub")
      ?? URL(fileURLWithPath: (("~/.cache/huggingface/hub" as NSString).expandingTildeInPath))
  }

  /// The snapshot in the cache.
  ///
  /// - Throws: `UserError(.noInput)` with the command that would fetch it, where it is not there.
  package func snapshot(in cache: URL = HubName.cache()) throws(UserError) -> (url: URL, name: String, reason: String) {
    let folder = cache.appendingPathComponent("models--" + repository.replacing("/", with: "--"))
    let command = "hf download \(repository)" + (revision.map { " --revision \($0)" } ?? "")
    do throws(UserError) {
      if let found = try CachedRepository(folder, revision: revision) { return found.snapshot }
    } catch {
      throw UserError(.noInput, at: .file(folder), error.problem, remedy: "fetch it: \(command)")
    }
    throw UserError(
      .noInput,
      "there is no file or folder \(quoted(description)), and no such model in Hugging Face's cache (\(cache.path))",
      remedy: "nothing is fetched by name here: \(command)")
  }
}
