import Foundation
import Tensors

/// What lies in a file's place when it was not really fetched: told by its first bytes, which no file that is read here begins
/// with.
enum StandIn {
  /// How many bytes of the file are looked at.
  static let length = 64

  private static let kinds: [(beginnings: [String], problem: String, remedy: String)] = [
    (
      ["version https://git-lfs"], "a Git LFS pointer, not the file itself",
      "run 'git lfs pull' where it was cloned, or fetch the file again"
    ),
    (
      ["<!doctype", "<html", "<head", "<?xml"], "a web page, not the file itself",
      "fetch the file again (by its download link, logged in where that is needed)"
    ),
    (
      ["entry not found", "repository not found", "invalid username or password", "access to model"],
      "a server's refusal, not the file itself",
      "fetch the file again (check its address, and log in where that is needed)"
    ),
  ]

  /// What is wrong with a file that begins so; nil where it may be what it should.
  static func error(_ url: URL, _ start: [UInt8]) -> UserError? {
    let text = String(decoding: start, as: UTF8.self)
      .trimmingCharacters(in: .whitespacesAndNewlines.union(["\u{FEFF}"])).lowercased()
    return kinds.first { $0.beginnings.contains { text.hasPrefix($0) } }
      .map { UserError(.badData, at: .file(url), $0.problem, remedy: $0.remedy) }
  }
}
