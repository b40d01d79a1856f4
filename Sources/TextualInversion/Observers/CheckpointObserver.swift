import Foundation
import ModelFiles
import Tensors

/// Writes the run's state every so many steps and at its end, with the word as it is then, and keeps the newest few.
final class CheckpointObserver: RunObserver {
  private let policy: CheckpointPolicy
  /// What the newest checkpoint holds.
  private var written: TrainingState

  init(_ policy: CheckpointPolicy, after state: TrainingState) {
    self.policy = policy
    written = state
  }

  func observe(_ event: RunEvent, of run: RunContext) throws {
    switch event {
    case .stepped(let result):
      let isDue = policy.every.map { result.step % $0 == 0 } ?? false
      guard isDue || run.isCheckpointRequested, result.step < run.lastStep else { return }
      try write(run)
      try run.writeWords(to: run.folder)
      run.isCheckpointRequested = false
      try emit(run)
    case .rolledBack(let step):
      guard written.step > step else { return }
      written = run.state
      if step > 0 { try write(run) }
      // Rows that give no numbers.
      for beyond in run.folder.checkpointFiles() where beyond.step > step { unlink(beyond.url.path) }
    case .ended:
      // A run that is over before its first step has learned nothing.
      guard run.state.step > 0 else { return }
      let isNew = run.state != written
      do {
        if isNew { try write(run) }
        try run.writeWords(to: run.folder)
      } catch {
        try? rescue(run)
        throw error
      }
      if isNew { try emit(run) }
    default: return
    }
  }

  private func write(_ run: RunContext) throws {
    guard try run.writeCheckpoint(to: run.folder) else { return }
    written = run.state
    // The new one is safe on the disk: older ones may go.
    for old in run.folder.checkpointFiles().filter({ $0.step < run.state.step }).dropLast(policy.keep - 1) {
      unlink(old.url.path)
    }
  }

  private func emit(_ run: RunContext) throws {
    try run.emit(.checkpointed(step: run.state.step, run.folder.checkpointFile(step: run.state.step)))
  }

  /// What can't go into the run's folder at its end is not thrown away: it goes among the system's temporary files.
  private func rescue(_ run: RunContext) throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("ti-gpu-\(UUID().uuidString)")
    let folder = try RunFolder(new: url)
    try AtomicFile.makeFolder(url)
    try run.writeWords(to: folder)
    _ = try run.writeCheckpoint(to: folder)
    try run.emit(.warned("word and checkpoint are in \(url.path), which --resume goes on with"))
  }
}
