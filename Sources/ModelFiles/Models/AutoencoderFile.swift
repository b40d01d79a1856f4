import Foundation
import Tensors

/// A VAE by itself, to be used in place of a model's own or where a model has none.
///
/// A folder with `config.json` and weights, or a model's folder with its `vae`; or a file, in diffusers' naming or the original one, with
/// or without `first_stage_model` in front.
public struct AutoencoderFile: Sendable {
  public let url: URL
  /// `config.json`, where there is one.
  public let configurationFile: URL?
  /// The tensors under diffusers' names.
  public let tensors: TensorView
  private let stored: TensorView
  private let naming: ComponentNaming
  private let files: [URL]

  /// - Throws: `UserError(.noInput)` where nothing is there, `.badData` for what is no VAE.
  public init(_ url: URL, warn: (String) -> Void = { _ in }) throws(UserError) {
    self.url = url
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) else {
      throw missing(url, "no such file or folder", remedy: "check the path of the VAE")
    }
    if isFolder.boolValue {
      let inner = url.appendingPathComponent(Component.vae.rawValue)
      let folder = ComponentFolder(url: inner.isThere ? inner : url)
      files = try folder.weightFiles(warn: warn)
      configurationFile = folder.configurationFile.isThere ? folder.configurationFile : nil
    } else {
      files = [url]
      configurationFile = nil
    }
    var opened: [any TensorFile] = []
    for file in files { opened.append(try openTensorFile(file)) }
    let all = try TensorView(opened)
    let inner = all.below("first_stage_model")
    stored = inner.isEmpty ? all : inner
    naming = stored.contains("decoder.up_blocks") ? .autoencoder : OriginalNaming.autoencoder(stored)
    tensors = try stored.mapped(by: naming.map)
    guard tensors.contains("decoder.up_blocks"), tensors.contains("encoder.down_blocks") else {
      throw UserError(
        .badData, at: .file(url), "holds no whole VAE", remedy: "name a VAE's file, its folder or a model's")
    }
  }

  /// The weights under diffusers' names.
  public func weights(warn: @escaping @Sendable (String) -> Void) throws(UserError) -> any WeightSource {
    try FileWeights(stored, naming: naming, warn: warn)
  }

  /// The SHA-256 of its files.
  public func sha256() throws(UserError) -> [String: String] {
    var hashes: [String: String] = [:]
    for file in files + [configurationFile].compactMap({ $0 }) {
      hashes[files.count == 1 && file == files[0] ? "vae" : "vae/\(file.lastPathComponent)"] = try FileHash.sha256(
        of: file)
    }
    return hashes
  }
}
