import Foundation
import Tensors

/// What an earlier run left to go on from.
public struct EarlierRun: Sendable {
  /// The newest checkpoint that can be read; nil where the run ended before its first.
  public let checkpoint: Checkpoint?
  /// What the run was asked for; nil where `training.json` is missing or damaged.
  public let report: TrainingReport?

  /// The settings that the run was last asked for.
  public var settings: TrainingSettings? { report?.settings ?? checkpoint?.settings }

  init(_ folder: RunFolder, warn: (String) -> Void) throws(UserError) {
    do throws(UserError) { report = try TrainingReport(folder.report) } catch {
      report = nil
      warn("\(error.message); going on by the checkpoint alone")
    }
    var found: Checkpoint?
    var damage: UserError?
    let files = folder.checkpointFiles()
    for file in files.reversed() {
      do throws(UserError) {
        found = try Checkpoint(file.url)
        break
      } catch {
        damage = damage ?? error
        warn("\(error.message); going back to the checkpoint before it")
      }
    }
    checkpoint = found
    if let damage, found == nil {
      throw UserError(
        .badData, at: .file(folder.checkpoints), "none of the \(files.count) checkpoints can be read: \(damage.message)"
      )
    }
    guard found != nil || report != nil else {
      throw UserError(
        .badData, at: .file(folder.report), "can't be read and there is no checkpoint", remedy: "start the run anew")
    }
  }

  /// Holds what is asked for now against what the run was started with: only `steps`, and whether settling ends them, may differ.
  ///
  /// - Returns: what a person may not expect of going on so, a line each.
  /// - Throws: `UserError(.usage)` where the run can't be gone on with so, saying what differs.
  func check(_ settings: TrainingSettings, _ optimizer: any Optimizer) throws(UserError) -> [String] {
    guard let earlier = self.settings else { return [] }
    var (comparable, started) = (settings, earlier)
    if settings.heldOut.settling == nil { started.stop(behind: earlier.steps) }
    comparable.steps = earlier.steps
    comparable.heldOut.settling = started.heldOut.settling
    let differences = comparable.differences(from: started)
    guard differences.isEmpty else {
      throw UserError(
        .usage,
        "the run was started with other settings: \(differences.joined(separator: ", ")); leave the options out, or give "
          + "the same (only --steps may differ)")
    }
    guard let checkpoint else { return [] }
    guard checkpoint.optimizer == optimizer.name else {
      throw UserError(.usage, "the run was started with the optimizer \(checkpoint.optimizer), not \(optimizer.name)")
    }
    let (done, record) = (checkpoint.state.step, checkpoint.state.heldOut)
    guard settings.steps >= done else {
      throw UserError(.usage, "--steps \(settings.steps): the run has done \(done) steps already")
    }
    let (before, now) = (earlier.learningRate(at: done, record), settings.learningRate(at: done, record))
    let end = settings.lastStep(record)
    guard end > max(done, earlier.lastStep(record)), now > before else { return [] }
    return [
      "the \(settings.schedule.rawValue) schedule now runs to step \(end): the learning rate goes up again, from "
        + "\(before) to \(now)"
    ]
  }
}
