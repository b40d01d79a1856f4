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

  /// Reads a file; a single vector may stand without its first axis.
  ///
  /// - Throws: `UserError(.noInput)` for a missing file, `.badData` for anything that is not one word's rows.
  public init(_ file: URL) throws(UserError) {
    let tensors = try SafetensorsFile(file)
    guard let word = tensors.names.first, tensors.names.count == 1 else {
      throw UserError(
        .badData, "\(file.path) holds \(tensors.names.count) tensors, not one word's: is it an embedding file?")
    }
    let tensor = try tensors.tensor(word)
    guard tensor.shape.rank == 2 || tensor.shape.rank == 1, tensor.shape.count > 0 else {
      throw UserError(.badData, "\(file.path): '\(word)' is \(tensor.shape), not [vectors, width]")
    }
    self.word = word
    rows = tensor.reshaped([tensor.shape.rows, tensor.shape.channels])
  }

  /// Writes the file whole or not at all.
  public func write(to file: URL) throws(UserError) {
    try Safetensors.write([(word, rows)], metadata: ["format": "pt"], to: file)
  }
}
