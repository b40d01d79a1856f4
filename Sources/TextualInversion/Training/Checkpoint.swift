import Foundation
import ModelFiles
import Tensors

/// A run's state on disk: a safetensors file with the rows and what the rule of update remembers, and the run's settings in
/// its metadata.
///
/// Tensors are named `rows.text_encoder.WORD` and `optimizer.NAME`; `version` 1, which had `rows`, `first_moment` and
/// `second_moment`, is read as well. Written whole or not at all, so whatever has a checkpoint's name can be gone on from.
public struct Checkpoint: Sendable {
  public let state: TrainingState
  public let settings: TrainingSettings
  /// What the run was made from; a resumed run must have the same.
  public let fingerprint: Fingerprint
  /// The name of the rule of update.
  public let optimizer: String

  public init(state: TrainingState, settings: TrainingSettings, fingerprint: Fingerprint, optimizer: String) {
    self.state = state
    self.settings = settings
    self.fingerprint = fingerprint
    self.optimizer = optimizer
  }

  private static let version = 2
  private static let optimizerPrefix = "optimizer."

  private static func rowsName(_ word: String) -> String { "rows.text_encoder.\(word)" }

  /// What the metadata says of the rule of update.
  private struct Rule: Codable {
    let name: String
    let scalars: [String: Double]
  }

  /// Reads one checkpoint.
  ///
  /// - Throws: `UserError(.badData)` where the file is none, or holds numbers that no run has.
  public init(_ file: URL) throws(UserError) {
    let tensors = try SafetensorsFile(file)
    func invalid(_ reason: String) -> UserError { UserError(.badData, "\(file.path) is no checkpoint: \(reason)") }
    func field<T: Decodable>(_ name: String) throws(UserError) -> T {
      guard let text = tensors.metadata[name] else { throw invalid("its '\(name)' is missing") }
      do { return try JSONDecoder().decode(T.self, from: Data(text.utf8)) } catch let error as UserError {
        throw invalid("its '\(name)' is not sound, \(error.message)")
      } catch {
        throw invalid("its '\(name)' is unreadable")
      }
    }
    let version: Int = tensors.metadata["version"] == nil ? 1 : try field("version")
    guard (1...Self.version).contains(version) else {
      throw invalid("its version is \(version), this program knows up to \(Self.version)")
    }
    settings = try field("settings")
    do throws(UserError) { try settings.validate() } catch {
      throw invalid("its settings are not sound, \(error.message)")
    }
    fingerprint = try field("fingerprint")
    let step: Int = try field("step")
    guard step >= 0, step <= TrainingSettings.mostSteps else { throw invalid("its step is \(step)") }

    let rows = try tensors.tensor(version == 1 ? "rows" : Self.rowsName(settings.placeholder.word))
    guard rows.shape.rank == 2, rows.shape[0] == settings.placeholder.vectors else {
      throw invalid("its rows are \(rows.shape), its settings say \(settings.placeholder.vectors) vectors")
    }
    let rule: Rule = version == 1 ? Rule(name: settings.rule.name, scalars: [:]) : try field("optimizer")
    optimizer = rule.name
    var remembered = OptimizerState(scalars: rule.scalars)
    for name in tensors.names {
      if version == 1, name.hasSuffix("_moment") {
        remembered.tensors[name] = try tensors.tensor(name)
      } else if name.hasPrefix(Self.optimizerPrefix) {
        remembered.tensors[String(name.dropFirst(Self.optimizerPrefix.count))] = try tensors.tensor(name)
      }
    }
    let expected = settings.rule.initialState(for: rows)
    guard rule.name != settings.rule.name || remembered.tensors.keys == expected.tensors.keys else {
      throw invalid("it holds \(remembered.tensors.keys.sorted()) of \(rule.name)")
    }
    guard remembered.tensors.values.allSatisfy({ $0.shape == rows.shape }) else {
      throw invalid("its tensors do not fit each other")
    }
    state = TrainingState(rows: rows, optimizer: remembered, step: step, lossScale: try field("loss_scale"))
  }

  /// Writes the checkpoint.
  public func write(to file: URL) throws(UserError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    func json(_ value: some Encodable) throws(UserError) -> String {
      do { return String(decoding: try encoder.encode(value), as: UTF8.self) } catch {
        throw UserError(.badData, "the run's settings can't be written as JSON: \(error)")
      }
    }
    let remembered = state.optimizer.tensors.map { (Self.optimizerPrefix + $0.key, $0.value) }
    try Safetensors.write(
      [(Self.rowsName(settings.placeholder.word), state.rows)] + remembered,
      metadata: [
        "version": try json(Self.version), "settings": try json(settings), "fingerprint": try json(fingerprint),
        "step": try json(state.step), "loss_scale": try json(state.lossScale),
        "optimizer": try json(Rule(name: optimizer, scalars: state.optimizer.scalars)),
      ],
      to: file)
  }
}
