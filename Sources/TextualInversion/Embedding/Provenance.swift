import Foundation
import ModelFiles
import Tensors

/// What a word was learned from and how, as its file says.
struct Provenance {
  let settings: TrainingSettings
  let optimizer: String
  let steps: Int
  let fingerprint: Fingerprint?
  /// The model's name, without the folders that it lies in.
  let model: String?
  /// Whether the model predicts v; nil where that is not known.
  let predictsVelocity: Bool?

  /// The metadata of a word's file: ModelSpec's keys, the three of the web UIs, and this program's own. Paths and the names of
  /// pictures stay out of it: the file is made to be given away.
  func metadata(of word: EmbeddingFile) -> [String: String] {
    var result = ModelSpec.metadata(of: word, resolution: settings.resolution, isVelocity: predictsVelocity)
    if settings.negativeWord?.placeholder.word == word.word { result["modelspec.is_negative_embedding"] = "true" }
    result["step"] = "\(steps)"
    result["sd_checkpoint_name"] = model
    result["ti-gpu.version"] = "1"
    result["ti-gpu.optimizer"] = optimizer
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    result["ti-gpu.settings"] = (try? encoder.encode(settings)).map { String(decoding: $0, as: UTF8.self) }
    guard let fingerprint else { return result }
    if fingerprint.model.count == 1, let hash = fingerprint.model.values.first {
      result["ti-gpu.model_sha256"] = hash
      result["sd_checkpoint"] = String(hash.prefix(10))
    } else {
      result["ti-gpu.model_sha256"] = Self.hash(fingerprint.model.map { "\($0.value)  \($0.key)\n" })
    }
    result["ti-gpu.data_sha256"] = Self.hash(
      (Array(fingerprint.pictures.values) + fingerprint.captions.values).map { $0 + "\n" })
    result["ti-gpu.pictures"] = "\(fingerprint.pictures.count)"
    return result
  }

  /// Of several files' hashes, in an order that does not depend on theirs.
  private static func hash(_ lines: [String]) -> String { FileHash.sha256(Data(lines.sorted().joined().utf8)) }
}

extension RunFolder {
  /// Leaves words as diffusers takes them, in `learned_embeds.safetensors` (of SDXL also `learned_embeds_2.safetensors`), and as
  /// everybody else does, each in a file of the word's own name: `emb_params` where the first text encoder alone has rows, else a tensor
  /// for each.
  ///
  /// - Parameter metadata: of a word's file for everybody else.
  public func write(
    _ words: [EmbeddingFile], metadata: (EmbeddingFile) -> [String: String]
  ) throws(UserError) {
    _ = try EmbeddingForm.diffusers.write(words, to: embedding)
    for word in words {
      let form: EmbeddingForm = Array(word.rows.keys) == [.textEncoder] ? .kohya : .encoders
      // With a hash to be filled in.
      let texts = metadata(word).merging(["modelspec.hash_sha256": ""]) { $1 }
      try AtomicFile.write(form.namelessFile(word, texts), to: sharedEmbedding(of: word.word))
    }
  }

  /// The learned word for every tool but diffusers, named by the word without its brackets.
  public func sharedEmbedding(of word: String) -> URL {
    url.appendingPathComponent(EmbeddingFile(word: word, rows: [:]).fileStem + ".safetensors")
  }

  /// The second text encoder's rows for diffusers.
  var secondEmbedding: URL { EmbeddingContents.secondOfPair(embedding) }
}
