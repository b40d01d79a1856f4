import Foundation
import Tensors

/// What lies in a file's place when it was not really fetched: told by its first bytes, which no file that is read here begins
/// with.
enum StandIn {
  /// How many bytes of the file are looked at.
  static let length = 64

  private static let kinds: [(beginnings: [String], problem: String)] = [
    (
      ["version https://git-lfs"],
      "a Git LFS pointer, not the file itself; run 'git lfs pull' where it was cloned, or fetch the file again"
    ),
    (
      ["<!doctype", "<html", "<head", "<?xml"],
      "a web page, not the file itself; fetch the file again (its download link, logged in where that is needed)"
    ),
    (
      ["entry not found", "repository not found", "invalid username or password", "access to model"],
      "a server's refusal, not the file itself; fetch the file again (check its address, and log in where that is needed)"
    ),
  ]

  /// What a file that begins so is and what to do; nil where it may be what it should.
  static func problem(_ start: some Sequence<UInt8>) -> String? {
    let text = String(decoding: Array(start), as: UTF8.self)
      .trimmingCharacters(in: .whitespacesAndNewlines.union(["\u{FEFF}"])).lowercased()
    return kinds.first { $0.beginnings.contains { text.hasPrefix($0) } }?.problem
  }
}
