import Foundation
import ModelFiles
import StableDiffusion
import Tensors

/// What a run was made from, by its content: hashes of the model's files, of the pictures, of their captions and masks.
public struct Fingerprint: Sendable, Hashable, Codable {
  /// SHA-256 of the model's files, by their path in the model folder.
  public let model: [String: String]
  /// SHA-256 of the pictures, by their file name.
  public let pictures: [String: String]
  /// SHA-256 of the texts beside them that are read, by their file name.
  public let captions: [String: String]
  /// SHA-256 of the masks that are used, by their file name.
  public let masks: [String: String]

  public init(
    model: [String: String], pictures: [String: String], captions: [String: String] = [:], masks: [String: String] = [:]
  ) {
    self.model = model
    self.pictures = pictures
    self.captions = captions
    self.masks = masks
  }

  /// - Throws: what reading a file throws.
  init(_ model: any ModelSource, _ concept: Concept) throws(UserError) {
    func hashes(_ files: [URL?], named name: (URL, String) -> String) throws(UserError) -> [String: String] {
      var hashes: [String: String] = [:]
      for (picture, file) in zip(concept.names, files) {
        if let file { hashes[name(file, picture)] = try FileHash.sha256(of: file) }
      }
      return hashes
    }
    // Named as its picture is, so that those of two folders are told apart.
    func beside(_ file: URL, _ picture: String) -> String {
      ((picture as NSString).deletingLastPathComponent as NSString).appendingPathComponent(file.lastPathComponent)
    }
    self.init(
      model: try model.sha256(), pictures: try hashes(concept.files) { $1 },
      captions: try hashes(concept.captions.map(\.?.file), named: beside),
      masks: try hashes(concept.masks, named: beside))
  }

  /// From a file; an older one knows neither captions nor masks.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    model = try container.decode([String: String].self, forKey: .model)
    pictures = try container.decode([String: String].self, forKey: .pictures)
    captions = try container.decodeIfPresent([String: String].self, forKey: .captions) ?? [:]
    masks = try container.decodeIfPresent([String: String].self, forKey: .masks) ?? [:]
  }

  /// The hashes of what makes the VAE: its own files, or those of the whole model where it has none of its own.
  var vae: [String: String] {
    guard model.keys.contains(where: { $0 == "vae" || $0.hasPrefix("vae/") }) else { return model }
    return model.filter { $0.key == "vae" || $0.key.hasPrefix("vae/") || $0.key.hasPrefix("configuration/") }
  }

  /// What is not as it was in `earlier`, a phrase each: "the model's unet/config.json changed (3f… to 9a…)".
  ///
  /// Files of the model that an older program's fingerprint did not cover are left out.
  public func changes(since earlier: Fingerprint) -> [String] {
    func differences(_ what: String, _ old: [String: String], _ new: [String: String]) -> [String] {
      Set(old.keys).union(new.keys).sorted().compactMap { name in
        switch (old[name], new[name]) {
        case (let old?, let new?): old == new ? nil : "\(what) \(name) changed (\(old.prefix(8)) to \(new.prefix(8)))"
        case (_?, nil): "\(what) \(name) is gone"
        default: "\(what) \(name) is new"
        }
      }
    }
    let covered = model.filter { file in
      earlier.model[file.key] != nil || earlier.model.keys.contains { $0.hasSuffix(".json") }
    }
    return differences("the model's", earlier.model, covered)
      + differences("the picture", earlier.pictures, pictures) + differences("the caption", earlier.captions, captions)
      + differences("the mask", earlier.masks, masks)
  }
}
