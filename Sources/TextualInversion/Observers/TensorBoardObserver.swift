import Foundation
import Images
import ModelFiles
import Tensors

/// Keeps event files that TensorBoard reads: a step's numbers as scalars, previews as images.
///
/// Going on with a run begins a file of its own, which takes back what an earlier one has of the steps that are done again; so does a
/// run that goes back to an earlier step, in the file that it has.
public final class TensorBoardObserver: RunObserver {
  private var file: FileHandle?
  private var metrics: [StepMetric] = []
  private let now: () -> Double

  /// - Parameter now: seconds since 1970.
  public init(now: @escaping () -> Double = { Date().timeIntervalSince1970 }) { self.now = now }

  deinit { try? file?.close() }

  public func observe(_ event: RunEvent, of run: RunContext) throws {
    switch event {
    case .started:
      metrics = StepMetric.all(of: run)
      try keep(run) { try open(run) }
    case .rolledBack(let step): try keep(run) { try append(step + 1, .restart) }
    case .stepped(let result):
      let values = metrics.map { TensorBoardEvent.Value.scalar(tag: $0.tag, $0.value(result, run)) }
      try keep(run) { try append(result.step, .summary(values)) }
    case .evaluated(let measured):
      try keep(run) { try append(measured.step, .summary([.scalar(tag: "loss/held_out", measured.loss)])) }
    case .previewed(let step, let files):
      try keep(run) {
        let values = try files.enumerated().map { index, file in
          let png = try Data(contentsOf: file)
          let size = try PNGText.size(of: png)
          return TensorBoardEvent.Value.image(
            tag: "previews/\(index + 1)", width: size.width, height: size.height, png: png)
        }
        try append(step, .summary(values))
      }
    default: return
    }
  }

  private func open(_ run: RunContext) throws {
    let folder = run.folder.tensorBoard
    try AtomicFile.makeFolder(folder)
    // TensorBoard reads a folder's files in the order of their names; within a second the number decides.
    let base = "events.out.tfevents.\(Int(now()))"
    let url = folder.appendingPathComponent("\(base).ti-gpu.\(run.folder.eventFiles().count)")
    try AtomicFile.write(TensorBoardEvent(wallTime: now(), step: 0, content: .fileVersion).record, to: url)
    file = try FileHandle(forUpdating: url)
    try file?.seekToEnd()
    if run.firstStep > 0 { try append(run.firstStep + 1, .restart) }
  }

  private func append(_ step: Int, _ content: TensorBoardEvent.Content) throws {
    try file?.write(contentsOf: TensorBoardEvent(wallTime: now(), step: step, content: content).record)
  }

  /// The files are there to be looked at: where they can't be written, the run goes on without.
  private func keep(_ run: RunContext, _ body: () throws -> Void) throws {
    if try run.attempt("TensorBoard's event files end at step \(run.state.step)", body) { return }
    try? file?.close()
    file = nil
  }
}
