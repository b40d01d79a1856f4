import Foundation
import ModelFiles
import Tensors
import Testing

/// Where the fixtures of this target's tests lie.
let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .appendingPathComponent("Fixtures")

/// Runs `body` with a fresh folder and removes the folder behind it.
func withFolder(_ body: (URL) throws -> Void) throws {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ti-gpu-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  try body(folder)
}

/// The error that `body` throws, which must be a `UserError` of one line; nil when it throws none.
func userError(_ body: () throws -> Void) -> UserError? {
  do {
    try body()
    return nil
  } catch let error as UserError {
    #expect(!error.message.contains("\n") && error.message.count < 700, "\(error.message)")
    return error
  } catch {
    Issue.record("not a UserError: \(error)")
    return nil
  }
}
