import Foundation
import StableDiffusion
import Tensors

extension Concept {
  /// The pictures of all words of a run.
  ///
  /// - Parameters:
  ///   - pictures: the folder of the pictures or, where the settings teach several concepts, of their folders.
  ///   - masks: a folder of masks, in which a concept may have one of its own.
  /// - Throws: what reading a folder throws; `UserError(.usage)` for a concept that teaches none of the settings' words.
  init(_ settings: TrainingSettings, pictures: URL, masks: URL? = nil, for shape: ModelShape) throws(UserError) {
    func read(_ folder: URL, _ masks: URL?) throws(UserError) -> Concept {
      try Concept(
        folder: folder, masks: masks, buckets: settings.buckets(shape), fitting: settings.fitting,
        alpha: settings.pictureSet.alpha, cell: shape.autoencoder.sizeMultiple, readsCaptions: settings.captions.areRead
      )
    }
    guard !settings.pictureSet.concepts.isEmpty else {
      self = try read(pictures, masks)
      return
    }
    var parts: [(name: String, repeats: Int, word: Int, concept: Concept)] = []
    for part in settings.pictureSet.concepts {
      guard let word = settings.words.firstIndex(where: { $0.placeholder.word == part.word }) else {
        throw UserError(.usage, "the concept '\(part.folder)' teaches \(part.word), which is none of the run's words")
      }
      let inner = masks?.appendingPathComponent(part.folder)
      let concept = try read(
        pictures.appendingPathComponent(part.folder),
        inner.flatMap { FileManager.default.fileExists(atPath: $0.path) ? $0 : nil } ?? masks)
      parts.append((part.folder, part.repeats, word, concept))
    }
    self.init(parts)
  }
}
