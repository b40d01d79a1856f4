import Foundation
import ModelFiles
import Tensors

/// A run's state on disk: a safetensors file with the rows and AdamW's moments, and the run's settings in its metadata.
///
/// Written whole or not at all, so whatever has a checkpoint's name can be gone on from.
public struct Checkpoint: Sendable {
  public let state: TrainingState
  public let settings: TrainingSettings
  /// What the run was made from; a resumed run must have the same.
  public let fingerprint: Fingerprint

  public init(state: TrainingState, settings: TrainingSettings, fingerprint: Fingerprint) {
    self.state = state
    self.settings = settings
    self.fingerprint = fingerprint
  }

  private static let prefix = "step-"
  private static let suffix = ".safetensors"

  /// The folder of a run's checkpoints.
  public static func folder(in run: URL) -> URL { run.appendingPathComponent("checkpoints") }

  /// The newest checkpoint of the run in `run`, if it has any.
  ///
  /// - Throws: `UserError(.noInput)` if `run` is no folder, `.badData` if the checkpoint is not one.
  public static func newest(in run: URL) throws(UserError) -> Checkpoint? {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: run.path, isDirectory: &isFolder), isFolder.boolValue else {
      throw UserError(.noInput, "there is no run to resume at \(run.path)")
    }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder(in: run).path)) ?? []
    let newest = names.filter { $0.hasPrefix(prefix) && $0.hasSuffix(suffix) }.max()
    guard let newest else { return nil }
    return try Checkpoint(folder(in: run).appendingPathComponent(newest))
  }

  /// Reads one checkpoint.
  public init(_ file: URL) throws(UserError) {
    let tensors = try SafetensorsFile(file)
    func field<T: Decodable>(_ name: String) throws(UserError) -> T {
      guard let text = tensors.metadata[name],
        let value = try? JSONDecoder().decode(T.self, from: Data(text.utf8))
      else { throw UserError(.badData, "\(file.path) is no checkpoint: its '\(name)' is missing or unreadable") }
      return value
    }
    settings = try field("settings")
    fingerprint = try field("fingerprint")
    let rows = try tensors.tensor("rows")
    let first = try tensors.tensor("first_moment")
    let second = try tensors.tensor("second_moment")
    guard rows.shape.rank == 2, first.shape == rows.shape, second.shape == rows.shape else {
      throw UserError(.badData, "\(file.path) is no checkpoint: its tensors do not fit each other")
    }
    state = TrainingState(
      rows: rows, firstMoment: first, secondMoment: second, step: try field("step"), lossScale: try field("loss_scale"))
  }

  /// Writes the checkpoint under its step's name in the run's folder.
  public func write(in run: URL) throws(UserError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    func json(_ value: some Encodable) throws(UserError) -> String {
      do { return String(decoding: try encoder.encode(value), as: UTF8.self) } catch {
        throw UserError(.badData, "the run's settings can't be written as JSON: \(error)")
      }
    }
    let number = String(state.step)
    let name = Self.prefix + String(repeating: "0", count: max(0, 8 - number.count)) + number + Self.suffix
    try AtomicFile.makeFolder(Self.folder(in: run))
    try Safetensors.write(
      [("rows", state.rows), ("first_moment", state.firstMoment), ("second_moment", state.secondMoment)],
      metadata: [
        "settings": try json(settings), "fingerprint": try json(fingerprint), "step": try json(state.step),
        "loss_scale": try json(state.lossScale),
      ],
      to: Self.folder(in: run).appendingPathComponent(name))
  }
}

/// What a run was made from, by its content: hashes of the model's weights and of the pictures.
public struct Fingerprint: Sendable, Hashable, Codable {
  /// SHA-256 over the model's weight files, by their path in the model folder.
  public let model: [String: String]
  /// SHA-256 of the pictures, by their file name.
  public let pictures: [String: String]

  public init(model: [String: String], pictures: [String: String]) {
    self.model = model
    self.pictures = pictures
  }
}
