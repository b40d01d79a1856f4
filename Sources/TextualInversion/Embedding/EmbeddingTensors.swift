import Foundation
import Images
import ModelFiles
import Tensors

/// The tensors of a file that may hold learned words, whichever its container: safetensors, `torch.save` or a card.
///
/// Tensors in dictionaries of dictionaries are named by their keys with dots between them: `string_to_param.*`.
struct EmbeddingTensors: Sendable {
  enum Container: Sendable { case safetensors, torch, card }

  struct Entry: Sendable {
    let name: String
    let shape: Shape
    /// How the file stores its numbers, such as `F16`.
    let type: String
    /// The numbers, or what should be some.
    let read: @Sendable () throws(UserError) -> HostTensor
  }

  let container: Container
  /// In the order of the file; those of safetensors by name.
  let entries: [Entry]
  /// What else the file says in texts and whole numbers: the metadata of safetensors, `name` and `step` of the others.
  let texts: [String: String]

  /// Opens a file; its content tells what it is, and not its name.
  ///
  /// - Returns: nil for a picture that is no card.
  init?(_ url: URL) throws(UserError) {
    if PNGText.isPNG(try Data(startOfInput: url, count: 8)) {
      let data = try Data(contentsOfInput: url, limit: EmbeddingCard.fileLimit)
      do throws(UserError) {
        guard let card = try EmbeddingCard(data) else { return nil }
        self.init(card)
      } catch { throw error.at(.file(url)) }
    } else if try TorchFile.isOne(url) {
      self.init(try TorchFile(url))
    } else {
      self.init(try SafetensorsFile(url))
    }
  }

  private init(_ file: SafetensorsFile) {
    container = .safetensors
    texts = file.metadata
    entries = file.names.map { name in
      Entry(name: name, shape: file.shape(of: name) ?? [], type: file.typeName(of: name) ?? "") {
        () throws(UserError) in try file.tensor(name, mustBeFinite: false)
      }
    }
  }

  private init(_ file: TorchFile) {
    container = .torch
    var entries: [Entry] = []
    var texts: [String: String] = [:]
    file.tensorDictionary.walk { name, value in
      switch value {
      case .tensor(let tensor):
        entries.append(
          Entry(name: name, shape: tensor.shape, type: tensor.typeName) {
            () throws(UserError) in try file.tensor(tensor)
          })
      case .text(let text): texts[name] = text
      case .integer(let number): texts[name] = "\(number)"
      default: break
      }
    }
    (self.entries, self.texts) = (entries, texts)
  }

  private init(_ card: EmbeddingCard) {
    container = .card
    texts = card.texts
    entries = card.tensors.map { name, tensor in
      Entry(name: name, shape: tensor.shape, type: "text") { () throws(UserError) in tensor }
    }
  }
}
