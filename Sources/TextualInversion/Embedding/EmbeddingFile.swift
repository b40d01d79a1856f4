import Foundation
import ModelFiles
import Tensors

/// A learned word as a file of a few kilobytes, in the form diffusers writes: one tensor `[n, width]` named by the word.
public struct EmbeddingFile: Sendable {
  /// What to write in prompts.
  public let word: String
  /// `[n, width]`.
  public let rows: HostTensor

  public init(word: String, rows: HostTensor) {
    self.word = word
    self.rows = rows
  }

  /// What files name a tensor by that say nothing of the word: kohya's trainers, ComfyUI's files of several text encoders,
  /// the first textual inversion.
  private static let namesOfNoWord: Set<String> = ["emb_params", "clip_l", "*"]

  /// Reads a file; a single vector may stand without its first axis.
  ///
  /// - Parameter word: what to write in prompts; by default what the file says or, where it says none, the file's own name.
  /// - Throws: `UserError(.noInput)` for a missing file, `.badData` for anything that is not one word's rows.
  public init(_ file: URL, word: String? = nil) throws(UserError) {
    let tensors = try SafetensorsFile(file)
    guard let name = tensors.names.first, tensors.names.count == 1 else {
      throw UserError(
        .badData, at: .file(file), "holds \(tensors.names.count) tensors, not one word's: is it an embedding file?")
    }
    let tensor = try tensors.tensor(name)
    guard tensor.shape.rank == 2 || tensor.shape.rank == 1, tensor.shape.count > 0 else {
      throw UserError(.badData, at: [.file(file), .tensor(name)], "is \(tensor.shape), not [vectors, width]")
    }
    let own = Self.namesOfNoWord.contains(name) ? file.deletingPathExtension().lastPathComponent : name
    self.init(word: word ?? own, rows: tensor.reshaped([tensor.shape.rows, tensor.shape.channels]))
    do throws(UserError) { try check() } catch { throw error.at(.file(file)) }
  }

  /// What no word's numbers come near: the vocabulary's are some hundredths, a trained word's up to some tens.
  private static let largest: Float = 10_000

  /// Throws `badData` unless the rows are numbers that a text encoder can take.
  public func check() throws(UserError) {
    guard rows.shape.rank == 2, rows.shape.count > 0 else {
      throw UserError(.badData, at: .tensor(word), "is \(rows.shape), not [vectors, width]")
    }
    guard rows.values.allSatisfy(\.isFinite) else {
      throw UserError(
        .badData, at: .tensor(word), "holds NaN or infinity", remedy: "its training diverged; train again")
    }
    if let value = rows.values.first(where: { abs($0) > Self.largest }) {
      throw UserError(
        .badData, at: .tensor(word), "holds numbers such as \(value), which no word has",
        remedy: "its training diverged; train again with a lower rate")
    }
  }

  /// Writes the file whole or not at all.
  public func write(to file: URL) throws(UserError) {
    try Safetensors.write([(word, rows)], metadata: ["format": "pt"], to: file)
  }
}
