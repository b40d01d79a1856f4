import Foundation
import Tensors

/// A model in diffusers' layout: `model_index.json` and a folder for each component with its configuration and weights.
public struct DiffusersFolder: Sendable {
  /// The folder itself: the snapshot, where that of a repository was named.
  public let url: URL
  /// The class that `model_index.json` names, such as `StableDiffusionPipeline`.
  public let pipelineClass: String?
  /// What `model_index.json` says of a prompt that is empty; nil where it says nothing.
  public let forcesZerosForEmptyPrompt: Bool?

  /// The variant of the weights that is taken, such as `fp16`, where it is there; nil for the plain ones.
  public let variant: String?

  /// Told what is read otherwise than the folder's name or its files suggest, a line each.
  public let warn: @Sendable (String) -> Void

  /// - Parameters:
  ///   - url: the model's folder, or that of a repository in Hugging Face's cache.
  ///   - variant: which weights are taken of those that lie side by side, such as `fp16` of `model.fp16.safetensors`; by default the
  ///     plain ones, else halves, else what there is.
  ///   - warn: told what is read otherwise than the folder's name or its files suggest, a line each.
  /// - Throws: `UserError(.noInput)` when there is no such folder or no `model_index.json` in it, `.usage` where none of its parts has
  ///   weights of the variant.
  public init(
    _ url: URL, variant: String? = nil, warn: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(UserError) {
    self.warn = warn
    self.variant = variant
    var information = stat()
    guard stat(url.path, &information) == 0 else {
      let code = errno
      guard code == ENOENT || code == ENOTDIR || code == ELOOP else { throw unreadable(url, code) }
      throw missing(url, "no such folder", remedy: Self.layout)
    }
    guard information.st_mode & S_IFMT == S_IFDIR else {
      throw UserError(.noInput, at: .file(url), "a file", remedy: Self.layout)
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
    let content = try Index(jsonFile: index)
    pipelineClass = content.className
    forcesZerosForEmptyPrompt = content.forcesZerosForEmptyPrompt
    if let variant, !variants.contains(variant) {
      throw UserError(
        .usage, at: [.option("variant"), .file(self.url)], "has no weights of the variant \(quoted(variant))",
        remedy: "it has: \(variantNames)")
    }
  }

  /// The variants of weights that its parts have; the plain ones are that of the empty name.
  public var variants: Set<String> { components.reduce(into: []) { $0.formUnion(part($1).variants) } }

  /// The same in words.
  public var variantNames: String { variants.sorted().map { $0.isEmpty ? "plain" : $0 }.joined(separator: ", ") }

  private func part(_ component: Component) -> ComponentFolder {
    ComponentFolder(url: folder(component), variant: variant)
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
    if let single = CachedRepository.checkpoints(in: url).first {
      return "'\(single)' in it is a model in one file: name that"
    }
    return layout
  }

  private struct Index: Decodable {
    let className: String?
    let forcesZerosForEmptyPrompt: Bool?

    enum CodingKeys: String, CodingKey {
      case className = "_class_name"
      case forcesZerosForEmptyPrompt = "force_zeros_for_empty_prompt"
    }
  }

  /// The parts that the folder holds.
  public var components: [Component] { Component.allCases.filter { folder($0).isThere } }

  /// The folder of a component.
  public func folder(_ component: Component) -> URL { url.appendingPathComponent(component.rawValue) }

  /// The folder with `vocab.json` and `merges.txt`, or `tokenizer.json`, that a text encoder's token numbers come from.
  public func tokenizerFolder(_ component: Component) -> URL {
    url.appendingPathComponent(component.rawValue.replacing("text_encoder", with: "tokenizer"))
  }

  /// The file of the scheduler's configuration.
  public var schedulerConfiguration: URL { url.appendingPathComponent("scheduler/scheduler_config.json") }

  /// A component's configuration.
  public func configuration<T: Decodable>(_ component: Component, as type: T.Type = T.self) throws(UserError) -> T {
    try T(jsonFile: part(component).configurationFile)
  }

  /// A component's weights under the names of both old and new files; all of them must be taken.
  public func weights(_ component: Component) throws(UserError) -> any WeightSource {
    try FileWeights(
      part(component).tensors(warn: warn), naming: .diffusers(component), warn: warn)
  }

  /// The files that hold a component's weights: one, or the pieces in the order of their names.
  public func weightFiles(_ component: Component) throws(UserError) -> [URL] {
    try part(component).weightFiles()
  }

  /// The SHA-256 of every file that decides what the model does, by its path in the folder: configurations, the
  /// tokenizers' files and the weights.
  public func sha256() throws(UserError) -> [String: String] {
    var files = configurationFiles
    for component in components { files += try weightFiles(component) }
    return try Self.sha256(of: files)
  }

  /// The same of the configurations and the tokenizers alone.
  public func configurationSHA256() throws(UserError) -> [String: String] { try Self.sha256(of: configurationFiles) }

  private var configurationFiles: [URL] {
    let files = components.flatMap { component in
      let tokenizer = [
        "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json",
      ].map { tokenizerFolder(component).appendingPathComponent($0) }
      return [part(component).configurationFile] + tokenizer
    }
    return ([schedulerConfiguration] + files).filter(\.isThere)
  }

  private static func sha256(of files: [URL]) throws(UserError) -> [String: String] {
    var hashes: [String: String] = [:]
    for file in Set(files) {
      let folder = file.deletingLastPathComponent().lastPathComponent
      hashes["\(folder)/\(file.lastPathComponent)"] = try FileHash.sha256(of: file)
    }
    return hashes
  }
}
