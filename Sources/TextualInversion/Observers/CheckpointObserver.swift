import Foundation
import ModelFiles
import Tensors

/// Writes the run's state every so many steps and at its end, with the word as it is then, and keeps the newest few.
final class CheckpointObserver: RunObserver {
  private let policy: CheckpointPolicy
  private var lastStep: Int

  init(_ policy: CheckpointPolicy, after step: Int) {
    self.policy = policy
    lastStep = step
  }

  func observe(_ event: RunEvent, of run: RunContext) throws {
    switch event {
    case .stepped(let result):
      let isDue = policy.every.map { result.step % $0 == 0 } ?? false
      guard isDue || run.isCheckpointRequested, result.step < run.settings.steps else { return }
      try write(run)
      run.isCheckpointRequested = false
    case .ended:
      // A run that is over before its first step has learned nothing.
      guard run.state.step > 0 else { return }
      if run.state.step > lastStep { try write(run) }
      try run.writeWords()
    default: return
    }
  }

  private func write(_ run: RunContext) throws {
    guard let fingerprint = run.fingerprint else { return }
    try AtomicFile.makeFolder(run.folder.checkpoints)
    let file = run.folder.checkpointFile(step: run.state.step)
    try Checkpoint(state: run.state, settings: run.settings, fingerprint: fingerprint, optimizer: run.optimizer)
      .write(to: file)
    lastStep = run.state.step
    try run.writeWords()
    // The new one is safe on the disk: older ones may go.
    for old in run.folder.checkpointFiles().filter({ $0.step < run.state.step }).dropLast(policy.keep - 1) {
      unlink(old.url.path)
    }
    try run.emit(.checkpointed(step: run.state.step, file))
  }
}
