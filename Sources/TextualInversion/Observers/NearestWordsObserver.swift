import ModelFiles
import StableDiffusion
import Tensors

/// Keeps `nearest_words.json`. In the course of the run it only sets rows aside, a few kilobytes at each quarter; the vocabularies, which
/// are large, are read once, at the end.
final class NearestWordsObserver: RunObserver {
  private let model: StableDiffusionModel
  private var rows: [(step: Int, words: [EmbeddingFile])] = []

  init(_ model: StableDiffusionModel) { self.model = model }

  func observe(_ event: RunEvent, of run: RunContext) throws {
    switch event {
    case .started where run.firstStep == 0: setAside(run)
    case .stepped(let result) where result.step * 4 / run.lastStep > (result.step - 1) * 4 / run.lastStep:
      setAside(run)
    case .rolledBack(let step): rows.removeAll { $0.step > step }
    case .ended where run.state.step > 0:
      if rows.last?.step != run.state.step { setAside(run) }
      // What is left may be an earlier step's.
      let (step, result) = run.state.result
      if step != run.state.step { setAside(step, result, run) }
      try run.attempt("nearest_words.json is not written") { try write(run) }
    default: return
    }
  }

  private func setAside(_ run: RunContext) { setAside(run.state.step, run.state.parameters, run) }

  private func setAside(_ step: Int, _ parameters: Parameters, _ run: RunContext) {
    rows.removeAll { $0.step == step }
    rows.append((step, run.embeddings(of: parameters)))
    rows.sort { $0.step < $1.step }
  }

  private func write(_ run: RunContext) throws {
    let earlier = NearestWordsHistory.all(reading: run.folder.nearestWords)
    var histories: [NearestWordsHistory] = []
    for (encoder, _) in model.shape.textComponents {
      let vocabulary = try NearestWords(model, encoder)
      for word in run.settings.taughtWords {
        let new = rows.compactMap { step, words in
          words.first { $0.word == word }?.rows[encoder].map {
            NearestWordsHistory.Snapshot(step: step, rows: vocabulary.nearest(to: $0))
          }
        }
        // What an earlier part of the run has of steps that were done again is no longer so.
        let old = earlier.first { $0.word == word && $0.encoder == encoder }?.snapshots ?? []
        let kept = old.filter { $0.step <= run.firstStep && !new.map(\.step).contains($0.step) }
        histories.append(
          NearestWordsHistory(word: word, encoder: encoder, snapshots: (kept + new).sorted { $0.step < $1.step }))
      }
    }
    try NearestWordsHistory.write(histories, to: run.folder.nearestWords)
  }
}
