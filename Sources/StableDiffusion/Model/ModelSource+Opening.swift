import Foundation
import ModelFiles
import Tensors

/// Opens a model by what people call it: a folder in diffusers' layout, a single file in the original naming, a folder of Hugging Face's
/// cache, or a name on its hub (`owner/name`, `owner/name@revision`) that is in the cache.
///
/// - Parameters:
///   - reading: what is to be read otherwise than the model's own files say.
///   - note: told what was recognized, a line each.
///   - warn: told what is read otherwise than the name or the files suggest, a line each.
/// - Throws: `UserError(.noInput)` where there is no such model, `.badData` for a file that is none, which it then names.
public func openModel(
  _ name: String, reading: ModelReading = ModelReading(), note: (String) -> Void = { _ in },
  warn: @escaping @Sendable (String) -> Void = { _ in }
) throws(UserError) -> any ModelSource {
  var url = URL(fileURLWithPath: name)
  if !url.isThere {
    guard let hubName = HubName(name) else {
      throw missing(
        url, "no such file or folder",
        remedy: "name a model folder, a checkpoint, or a model in Hugging Face's cache (owner/name)")
    }
    let snapshot = try hubName.snapshot()
    note("\(hubName.repository): revision \(snapshot.name), \(snapshot.reason)")
    url = snapshot.url
  }
  var isFolder: ObjCBool = false
  _ = FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder)
  if isFolder.boolValue, !url.appendingPathComponent("model_index.json").isThere {
    // A snapshot may be of a repository that holds checkpoints alone.
    let snapshot = try CachedRepository(url)?.snapshot.url ?? url
    let files = CachedRepository.checkpoints(in: snapshot)
    if !snapshot.appendingPathComponent("model_index.json").isThere, let file = files.first,
      snapshot.deletingLastPathComponent().lastPathComponent == "snapshots"
    {
      guard files.count == 1 else {
        throw UserError(
          .usage, at: .file(snapshot), "holds \(files.count) checkpoints: \(files.joined(separator: ", "))",
          remedy: "name one of them by its path")
      }
      (url, isFolder) = (snapshot.appendingPathComponent(file), false)
    }
  }
  let base: any ModelSource
  if isFolder.boolValue {
    if reading.usesMeans == true {
      throw UserError(
        .usage, at: [.option("ema"), .file(url)], "is a folder; the option is for checkpoints in one file")
    }
    let folder = try DiffusersFolder(url, variant: reading.variant, warn: warn)
    if folder.variants.count > 1 {
      let taken = reading.variant ?? (folder.variants.contains("") ? "plain" : "")
      note(
        "\(folder.url.lastPathComponent): weights are there as \(folder.variantNames); "
          + (taken.isEmpty ? "--variant chooses" : "the \(taken) ones are taken"))
    }
    base = folder
  } else {
    if reading.variant != nil {
      throw UserError(.usage, at: [.option("variant"), .file(url)], "is one file; the option is for folders")
    }
    let file = try SingleFile(url, usesMeans: reading.usesMeans ?? false, warn: warn)
    note(file.recognition)
    base = file
  }
  guard reading.vae != nil || reading.configuration != nil || reading.predictionType != nil else { return base }
  var adapted = AdaptedModel(base: base, predictionType: reading.predictionType)
  if let vae = reading.vae { adapted.vae = try AutoencoderFile(URL(fileURLWithPath: vae), warn: warn) }
  if let folder = reading.configuration {
    adapted.configuration = try DiffusersFolder(URL(fileURLWithPath: folder), warn: warn)
  }
  return adapted
}
