import ModelFiles
import StableDiffusion
import Tensors

/// Keeps `nearest_words.json`. In the course of the run it only sets rows aside, a few kilobytes at each quarter; the vocabulary, which
/// is large, is read once, at the end.
final class NearestWordsObserver: RunObserver {
  private let model: StableDiffusionModel
  private var rows: [(step: Int, rows: HostTensor)] = []

  init(_ model: StableDiffusionModel) { self.model = model }

  func observe(_ event: RunEvent, of run: RunContext) throws {
    switch event {
    case .started where run.firstStep == 0: setAside(run)
    case .stepped(let result) where result.step * 4 / run.lastStep > (result.step - 1) * 4 / run.lastStep:
      setAside(run)
    case .ended where run.state.step > 0:
      if rows.last?.step != run.state.step { setAside(run) }
      // What is left may be an earlier step's.
      let (step, result) = run.state.result
      if step != run.state.step { setAside(step, result, run) }
      do { try write(run) } catch { try run.emit(.warned("nearest_words.json is not written: \(error)")) }
    default: return
    }
  }

  private func setAside(_ run: RunContext) { setAside(run.state.step, run.state.parameters, run) }

  private func setAside(_ step: Int, _ parameters: Parameters, _ run: RunContext) {
    guard let rows = run.embeddings(of: parameters).first?.rows[.textEncoder] else { return }
    self.rows.removeAll { $0.step == step }
    self.rows.append((step, rows))
    self.rows.sort { $0.step < $1.step }
  }

  private func write(_ run: RunContext) throws {
    guard !rows.isEmpty else { return }
    var history =
      NearestWordsHistory(reading: run.folder.nearestWords)
      ?? NearestWordsHistory(word: run.settings.placeholder.word)
    let vocabulary = try NearestWords(model, .textEncoder)
    let new = rows.map { NearestWordsHistory.Snapshot(step: $0.step, rows: vocabulary.nearest(to: $0.rows)) }
    // What an earlier part of the run has of steps that were done again is no longer so.
    history.snapshots =
      history.snapshots.filter { $0.step <= run.firstStep && !new.map(\.step).contains($0.step) } + new
    history.snapshots.sort { $0.step < $1.step }
    try history.write(to: run.folder.nearestWords)
  }
}
