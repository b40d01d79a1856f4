import Foundation
import Tensors

/// A model in diffusers' layout: `model_index.json` and a folder for each component with its configuration and weights.
public struct ModelFolder: Sendable {
  public let url: URL
  /// The class that `model_index.json` names, such as `StableDiffusionPipeline`.
  public let pipelineClass: String?

  /// Told what is read otherwise than the folder's name or its files suggest, a line each.
  public let warn: @Sendable (String) -> Void

  /// - Parameters:
  ///   - url: the model's folder, or that of a repository in Hugging Face's cache.
  ///   - warn: told what is read otherwise than the folder's name or its files suggest, a line each.
  /// - Throws: `UserError(.noInput)` when there is no such folder or no `model_index.json` in it.
  public init(_ url: URL, warn: @escaping @Sendable (String) -> Void = { _ in }) throws(UserError) {
    self.warn = warn
    var information = stat()
    guard stat(url.path, &information) == 0 else {
      let code = errno
      guard code == ENOENT || code == ENOTDIR || code == ELOOP else { throw unreadable(url, code) }
      throw missing(url, "no such folder", remedy: "\(Self.layout) (nothing is fetched by name)")
    }
    guard information.st_mode & S_IFMT == S_IFDIR else {
      let (what, remedy) =
        Self.isCheckpoint(url.path)
        ? ("a checkpoint in one file, which is not read", "convert it to a model folder in diffusers' layout")
        : ("a file", Self.layout)
      throw UserError(.noInput, at: .file(url), what, remedy: remedy)
    }
    if let snapshot = try CachedRepository(url)?.snapshot {
      self.url = snapshot.url
      warn("\(url.path) is a folder of Hugging Face's cache: its snapshot \(snapshot.name) is used, \(snapshot.reason)")
    } else {
      self.url = url
    }
    let index = self.url.appendingPathComponent("model_index.json")
    guard index.isThere else {
      throw UserError(
        .noInput, at: .file(self.url), "has no model_index.json", remedy: Self.advice(for: self.url))
    }
    pipelineClass = try Index(jsonFile: index).className
  }

  private static let layout = "name a model folder in diffusers' layout"

  /// Which folder may be meant by one that is no model's.
  private static func advice(for url: URL) -> String {
    func holdsModel(_ url: URL) -> Bool { url.appendingPathComponent("model_index.json").isThere }
    if holdsModel(url.deletingLastPathComponent()) { return "name the folder above, of the whole model" }
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted()
    if let inner = names.first(where: {
      holdsModel(url.appendingPathComponent($0)) || url.appendingPathComponent("\($0)/snapshots").isThere
    }) {
      return "its folder '\(inner)' is a model's: name that"
    }
    if let single = names.first(where: isCheckpoint) {
      return "'\(single)' as one file is not read: convert it to a model folder in diffusers' layout"
    }
    return layout
  }

  /// Whether a name is that of a whole model in one file.
  private static func isCheckpoint(_ name: String) -> Bool { name.hasSuffix(".safetensors") || name.hasSuffix(".ckpt") }

  private struct Index: Decodable {
    let className: String?

    enum CodingKeys: String, CodingKey {
      case className = "_class_name"
    }
  }

  /// The folder of a component, such as `unet`.
  public func folder(_ component: String) -> URL { url.appendingPathComponent(component) }

  /// The folder with `vocab.json` and `merges.txt`, or `tokenizer.json`.
  public var tokenizer: URL { folder("tokenizer") }

  /// The file of a component's configuration: `config.json`, or `scheduler_config.json` of the scheduler.
  public func configuration(_ component: String) -> URL {
    folder(component).appendingPathComponent(component == "scheduler" ? "scheduler_config.json" : "config.json")
  }

  /// A component's configuration.
  public func configuration<T: Decodable>(_ component: String, as type: T.Type) throws(UserError) -> T {
    try T(jsonFile: configuration(component))
  }

  /// A component's weights under the names of both old and new files; all of them must be taken.
  public func weights(_ component: String) throws(UserError) -> FileWeights {
    var files: [SafetensorsFile] = []
    for url in try weightFiles(component) { files.append(try SafetensorsFile(url)) }
    return try FileWeights(files, names: .of(component: component), warn: warn)
  }

  /// The files that hold a component's weights: one, or the pieces in the order of their names.
  public func weightFiles(_ component: String) throws(UserError) -> [URL] {
    let folder = folder(component)
    guard FileManager.default.fileExists(atPath: folder.path) else {
      throw missing(folder, "no such folder", remedy: "the model lacks its \(component)")
    }
    let stems = ["diffusion_pytorch_model", "model"]
    for ending in [".safetensors", ".fp16.safetensors"] {
      for stem in stems {
        let file = folder.appendingPathComponent(stem + ending)
        if file.isThere { return [file] }
        let index = folder.appendingPathComponent(
          ending == ".safetensors" ? stem + ".safetensors.index.json" : stem + ".safetensors.index.fp16.json")
        if index.isThere { return try pieces(index) }
      }
    }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    if names.contains(where: { $0.hasSuffix(".bin") || $0.hasSuffix(".ckpt") || $0.hasSuffix(".pt") }) {
      throw UserError(
        .noInput, at: .file(folder), "has only a PyTorch pickle, which is never opened",
        remedy: "save the model with safe_serialization=True")
    }
    throw UserError(
      .noInput, at: .file(folder), "no \(stems[0]).safetensors and no \(stems[1]).safetensors",
      remedy: "fetch the weights again")
  }

  private struct Pieces: Decodable {
    /// By tensor.
    let files: [String: String]

    enum CodingKeys: String, CodingKey {
      case files = "weight_map"
    }
  }

  private func pieces(_ index: URL) throws(UserError) -> [URL] {
    let map = try Pieces(jsonFile: index).files
    let names = Set(map.values).sorted()
    // The names are untrusted: none may lead out of the folder.
    guard !names.isEmpty, names.allSatisfy({ !$0.contains("/") && $0.hasSuffix(".safetensors") }) else {
      throw UserError(
        .badData, at: .file(index), "does not name safetensors files beside it", remedy: "fetch the file again")
    }
    return names.map { index.deletingLastPathComponent().appendingPathComponent($0) }
  }

  /// The SHA-256 of every file that decides what the model does, by its path in the folder: configurations, the
  /// tokenizer's files and the weights of the components that train and draw.
  public func sha256() throws(UserError) -> [String: String] {
    var files: [String: URL] = [:]
    func add(_ names: [String], of component: String) {
      for name in names {
        let file = folder(component).appendingPathComponent(name)
        if file.isThere { files["\(component)/\(name)"] = file }
      }
    }
    for component in ["text_encoder", "unet", "vae"] {
      add(["config.json"], of: component)
      for file in try weightFiles(component) { files["\(component)/\(file.lastPathComponent)"] = file }
    }
    add(["scheduler_config.json"], of: "scheduler")
    add(
      [
        "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json",
      ], of: "tokenizer")
    var hashes: [String: String] = [:]
    for (name, file) in files { hashes[name] = try FileHash.sha256(of: file) }
    return hashes
  }
}
