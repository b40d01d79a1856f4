import Foundation
import ModelFiles
import Tensors

/// A run's state on disk: a safetensors file with what is trained and what the rule of update remembers of it, and the run's
/// settings in its metadata.
///
/// Tensors are named `rows.ENCODER.WORD`, `optimizer.NAME.rows.ENCODER.WORD` and, for the rows that had the lowest held-out loss,
/// `best.rows.ENCODER.WORD`. Versions 1 and 2, which knew one word and
/// one encoder and had `rows`, `first_moment` and `optimizer.first_moment`, are read as well. Written whole or not at all,
/// so whatever has a checkpoint's name can be gone on from.
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

  private static let version = 3
  private static let optimizerPrefix = "optimizer."
  private static let bestPrefix = "best."
  private static let previousPrefix = "previous."

  /// What a tensor of the rule of update that belongs to a parameter is called by the rule; nil of any other tensor.
  private static func remembered(_ tensor: String, of name: ParameterName, version: Int) -> String? {
    switch version {
    case 1: return tensor.hasSuffix("_moment") ? tensor : nil
    case 2: return tensor.hasPrefix(optimizerPrefix) ? String(tensor.dropFirst(optimizerPrefix.count)) : nil
    default:
      let suffix = ".\(name)"
      guard tensor.hasPrefix(optimizerPrefix), tensor.hasSuffix(suffix),
        tensor.count > optimizerPrefix.count + suffix.count
      else { return nil }
      return String(tensor.dropFirst(optimizerPrefix.count).dropLast(suffix.count))
    }
  }

  /// What the metadata says of the rule of update.
  private struct Rule: Codable {
    let name: String
    /// By parameter.
    var scalars: [String: [String: Double]] = [:]
    /// Of the state before the last step.
    var previousScalars: [String: [String: Double]]?
  }

  /// What the metadata says of the held-out loss.
  private struct HeldOut: Codable {
    let losses: [HeldOutLoss]
    var last: HeldOutLoss?
    var uninformed: Float?
  }

  /// Reads one checkpoint.
  ///
  /// - Throws: `UserError(.badData)` where the file is none, or holds numbers that no run has.
  public init(_ file: URL) throws(UserError) {
    let tensors = try SafetensorsFile(file)
    func invalid(_ reason: String) -> UserError { UserError(.badData, at: .file(file), "is no checkpoint: \(reason)") }
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

    let rule: Rule = version == 1 ? Rule(name: settings.rule.name) : try field("optimizer")
    optimizer = rule.name
    let words = settings.words.map(\.placeholder)
    let ownRule = settings.rule
    /// What stands under a prefix: rows, and what the rule remembers of them unless it is left out.
    func snapshot(_ prefix: String, _ scalars: [String: [String: Double]]?) throws(UserError) -> TrainingSnapshot {
      var parameters: Parameters = [:]
      var remembered: [ParameterName: OptimizerState] = [:]
      for encoder in Component.allCases {
        for word in words {
          let name = ParameterName(encoder, word.word)
          let tensor = prefix + (version == 1 && encoder == .textEncoder ? "rows" : "\(name)")
          guard tensors.contains(tensor) else { continue }
          let rows = try tensors.tensor(tensor)
          guard rows.shape.rank == 2, rows.shape[0] == word.vectors else {
            throw invalid("its \(tensor) are \(rows.shape), its settings say \(word.vectors) vectors")
          }
          parameters[name] = rows
          guard let scalars else { continue }
          var state = OptimizerState(scalars: scalars["\(name)"] ?? [:])
          for tensor in tensors.names where tensor.hasPrefix(prefix) {
            let own = String(tensor.dropFirst(prefix.count))
            guard let what = Self.remembered(own, of: name, version: version) else { continue }
            state.tensors[what] = try tensors.tensor(tensor)
          }
          guard rule.name != ownRule.name || state.tensors.keys == ownRule.initialState(for: rows).tensors.keys else {
            throw invalid("it holds \(state.tensors.keys.sorted()) of \(rule.name)")
          }
          guard state.tensors.values.allSatisfy({ $0.shape == rows.shape }) else {
            throw invalid("its tensors do not fit each other")
          }
          remembered[name] = state
        }
      }
      return TrainingSnapshot(parameters: parameters, optimizer: remembered)
    }
    let now = try snapshot("", rule.scalars)
    let parameters = now.parameters
    for word in settings.words where parameters.rows(of: word.placeholder.word).isEmpty {
      throw invalid("the rows of '\(word.placeholder.word)' are missing")
    }
    /// What stands under a prefix beside it, of the same sizes; nil where nothing does.
    func another(_ prefix: String, _ scalars: [String: [String: Double]]?) throws(UserError) -> TrainingSnapshot? {
      let other = try snapshot(prefix, scalars)
      guard !other.parameters.isEmpty else { return nil }
      guard other.parameters.mapValues(\.shape) == parameters.mapValues(\.shape) else {
        throw invalid("its \(prefix)rows do not fit its rows")
      }
      return other
    }
    var state = TrainingState(
      parameters: parameters, optimizer: now.optimizer, step: step, lossScale: try field("loss_scale"))
    state.previous = try another(Self.previousPrefix, rule.previousScalars ?? [:])
    if tensors.metadata["recovery"] != nil { state.recovery = try field("recovery") }
    if tensors.metadata["held_out"] != nil {
      let heldOut: HeldOut = try field("held_out")
      let best = try another(Self.bestPrefix, nil)?.parameters
      guard zip(heldOut.losses, heldOut.losses.dropFirst()).allSatisfy({ $0.step < $1.step }),
        heldOut.losses.allSatisfy({ (0...step).contains($0.step) && $0.loss >= 0 }),
        heldOut.last.map({ $0.step == step && $0.loss >= 0 }) ?? true,
        heldOut.losses.contains(where: { $0.step > 0 }) == (best != nil)
      else { throw invalid("its 'held_out' does not fit step \(step)") }
      state.heldOut = HeldOutRecord(
        losses: heldOut.losses, best: best, last: heldOut.last, uninformed: heldOut.uninformed)
    }
    self.state = state
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
    func scalars(_ states: [ParameterName: OptimizerState]) -> [String: [String: Double]] {
      var scalars: [String: [String: Double]] = [:]
      for (name, state) in states where !state.scalars.isEmpty { scalars["\(name)"] = state.scalars }
      return scalars
    }
    func named(_ snapshot: TrainingSnapshot, _ prefix: String) -> [(String, HostTensor)] {
      snapshot.parameters.map { ("\(prefix)\($0.key)", $0.value) }
        + snapshot.optimizer.flatMap { name, state in
          state.tensors.map { ("\(prefix)\(Self.optimizerPrefix)\($0.key).\(name)", $0.value) }
        }
    }
    var tensors = named(TrainingSnapshot(parameters: state.parameters, optimizer: state.optimizer), "")
    if let previous = state.previous { tensors += named(previous, Self.previousPrefix) }
    if let best = state.heldOut.best {
      tensors += named(TrainingSnapshot(parameters: best, optimizer: [:]), Self.bestPrefix)
    }
    let rule = Rule(
      name: optimizer, scalars: scalars(state.optimizer), previousScalars: state.previous.map { scalars($0.optimizer) })
    let heldOut = HeldOut(losses: state.heldOut.losses, last: state.heldOut.last, uninformed: state.heldOut.uninformed)
    try Safetensors.write(
      tensors.sorted { $0.0 < $1.0 },
      metadata: [
        "version": try json(Self.version), "settings": try json(settings), "fingerprint": try json(fingerprint),
        "step": try json(state.step), "loss_scale": try json(state.lossScale),
        "held_out": try json(heldOut), "optimizer": try json(rule), "recovery": try json(state.recovery),
      ],
      to: file)
  }
}
