import Foundation
import Tensors

/// A folder with one component: its `config.json` and its weights, as diffusers or transformers write them.
struct ComponentFolder: Sendable {
  let url: URL
  /// The variant of the weights that is asked for, such as `fp16`; nil for the plain ones or what there is.
  var variant: String?

  var configurationFile: URL { url.appendingPathComponent("config.json") }

  /// A way that the weights are stored, read off a file's name: `STEM.VARIANT.safetensors`, or the index of a set of pieces.
  private struct Storage {
    let name: String
    /// Such as `fp16`; empty for the plain one.
    let variant: String
    let isSafetensors: Bool
    let isIndex: Bool

    private static let stems = ["diffusion_pytorch_model", "pytorch_model", "model"]

    init?(_ name: String) {
      guard let stem = Self.stems.first(where: { name.hasPrefix($0 + ".") }) else { return nil }
      var parts = name.dropFirst(stem.count + 1).split(separator: ".", omittingEmptySubsequences: false)
      isIndex = parts.last == "json"
      if isIndex {
        // model.safetensors.index.json, model.safetensors.index.fp16.json
        parts.removeLast()
        guard let index = parts.firstIndex(of: "index") else { return nil }
        parts.remove(at: index)
        if parts.count == 2 { parts.swapAt(0, 1) }
      }
      guard let type = parts.popLast(), type == "safetensors" || type == "bin", parts.count < 2, parts.first != ""
      else {
        return nil
      }
      self.name = name
      isSafetensors = type == "safetensors"
      variant = parts.first.map(String.init) ?? ""
    }

    /// The plain one first, then halves, then the others; safetensors before pickles, one file before pieces.
    var rank: (Int, String, Int, Int, String) {
      (["", "fp16"].firstIndex(of: variant) ?? 2, variant, isSafetensors ? 0 : 1, isIndex ? 1 : 0, name)
    }
  }

  private var storages: [Storage] {
    ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).compactMap(Storage.init)
  }

  /// The variants of the weights that are there; the plain ones are that of the empty name.
  var variants: Set<String> { Set(storages.map(\.variant)) }

  /// The files that hold the weights: one, or the pieces in the order of their names.
  ///
  /// - Parameter warn: told where they are not the plain ones, or not of the variant that is asked for.
  func weightFiles(warn: (String) -> Void = { _ in }) throws(UserError) -> [URL] {
    guard FileManager.default.fileExists(atPath: url.path) else {
      throw missing(url, "no such folder", remedy: "the model lacks its \(url.lastPathComponent)")
    }
    let storages = storages
    let wanted = storages.filter { $0.variant == variant }
    guard let storage = (wanted.isEmpty ? storages : wanted).min(by: { $0.rank < $1.rank }) else {
      throw UserError(
        .noInput, at: .file(url),
        "no weights: no diffusion_pytorch_model.safetensors, model.safetensors or pytorch_model.bin",
        remedy: "fetch the weights again")
    }
    let file = url.appendingPathComponent(storage.name)
    if let variant, wanted.isEmpty {
      warn("\(url.path): has no weights of the variant \(quoted(variant)): \(storage.name) is used")
    } else if variant == nil, !storage.variant.isEmpty {
      warn("\(file.path): the weights of the variant '\(storage.variant)' are used: no others are there")
    }
    return storage.isIndex ? try pieces(file) : [file]
  }

  private struct Pieces: Decodable {
    /// By tensor.
    let files: [String: String]

    enum CodingKeys: String, CodingKey {
      case files = "weight_map"
    }
  }

  private func pieces(_ index: URL) throws(UserError) -> [URL] {
    let names = Set(try Pieces(jsonFile: index).files.values).sorted()
    // The names are untrusted: none may lead out of the folder.
    guard !names.isEmpty,
      names.allSatisfy({ !$0.contains("/") && ($0.hasSuffix(".safetensors") || $0.hasSuffix(".bin")) })
    else {
      throw UserError(
        .badData, at: .file(index), "does not name files of weights beside it", remedy: "fetch the file again")
    }
    return names.map { url.appendingPathComponent($0) }
  }

  /// The weights as the files name them.
  func tensors(warn: (String) -> Void) throws(UserError) -> TensorView {
    var files: [any TensorFile] = []
    for file in try weightFiles(warn: warn) { files.append(try openTensorFile(file)) }
    return try TensorView(files)
  }
}
