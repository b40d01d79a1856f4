import Foundation
import Images
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// What the VAE made of pictures, on disk, so that the next run over them needs no VAE.
///
/// An entry is a safetensors file with one tensor, `moments`, and their SHA-256 in the metadata. Its name is the SHA-256 of all that
/// decides its numbers: the VAE's files, the device and how it stores, and the pixels themselves, as they were cut, brought to
/// their size and mirrored. It is written whole or not at all, so that processes may read and write at the same time; one that is
/// damaged counts as missing. The folder keeps under a limit: the entries that were longest out of use go. Nothing here fails a
/// run: a folder that can't be read or written is only slow.
public struct LatentFiles: Sendable {
  /// Changes with what an entry holds, and with the numbers that the VAE makes.
  private static let formatVersion = 1
  private static let suffix = ".safetensors"

  private let folder: URL?
  private let limit: Int
  private let vae: String

  /// - Parameters:
  ///   - folder: where entries are kept; nil for none.
  ///   - vae: hashes of the VAE's files by their names.
  ///   - device: what computes, and how it stores.
  ///   - limit: how many bytes all entries together may have.
  init(_ folder: URL?, vae: [String: String], device: String, limit: Int = 1 << 30) {
    self.folder = folder
    self.limit = limit
    self.vae = vae.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: "\n") + "\n\(device)"
  }

  /// Where entries are kept unless somebody says otherwise: `$TI_GPU_LATENT_CACHE` if that is set (`off` for nowhere), else
  /// `ti-gpu/latents` in the user's cache folder.
  public static func standardFolder(environment: [String: String] = ProcessInfo.processInfo.environment) -> URL? {
    CacheFolder.url("latents", variable: "TI_GPU_LATENT_CACHE", environment: environment)
  }

  /// A picture's entry; nil where there is none to be.
  func file(of picture: Picture) -> URL? {
    guard let folder else { return nil }
    var content = Data("\(Self.formatVersion) \(picture.width) \(picture.height) \(vae)\n".utf8)
    content.append(contentsOf: picture.pixels)
    return folder.appendingPathComponent(FileHash.sha256(content) + Self.suffix)
  }

  /// The moments that are kept in an entry, `[1, height, width, 2 * channels]`.
  ///
  /// - Parameter warn: told of an entry that is damaged.
  func load(_ file: URL, warn: (String) throws -> Void) rethrows -> HostTensor? {
    do throws(UserError) {
      let kept = try SafetensorsFile(file)
      let moments = try kept.tensor("moments")
      if moments.shape.rank == 4, kept.metadata["sha256"] == Self.hash(moments) {
        utimes(file.path, nil)
        return moments
      }
    } catch {
      if error.kind == .noInput { return nil }
    }
    try warn("\(file.path): damaged; the picture's latents are made anew")
    return nil
  }

  func store(_ moments: HostTensor, in file: URL) {
    guard let folder else { return }
    try? AtomicFile.makeFolder(folder)
    try? Safetensors.write(
      [("moments", moments)], metadata: ["format": "pt", "sha256": Self.hash(moments)], to: file)
  }

  /// Removes the entries that were longest out of use, until the others keep under the limit.
  func trim() {
    guard let folder,
      let files = try? FileManager.default.contentsOfDirectory(
        at: folder, includingPropertiesForKeys: [.fileSizeKey, .contentModificationDateKey])
    else { return }
    var entries: [(file: URL, bytes: Int, used: Date)] = []
    for file in files where file.lastPathComponent.hasSuffix(Self.suffix) {
      guard let values = try? file.resourceValues(forKeys: [.fileSizeKey, .contentModificationDateKey]),
        let bytes = values.fileSize, let used = values.contentModificationDate
      else { continue }
      entries.append((file, bytes, used))
    }
    var bytes = entries.reduce(0) { $0 + $1.bytes }
    for entry in entries.sorted(by: { $0.used < $1.used }) {
      guard bytes > limit else { return }
      unlink(entry.file.path)
      bytes -= entry.bytes
    }
  }

  private static func hash(_ tensor: HostTensor) -> String {
    tensor.values.withUnsafeBytes { FileHash.sha256(Data($0)) }
  }
}

extension AutoencoderKL {
  /// The moments of one picture's latents, `[1, height, width, 2 * channels]`.
  func moments(of picture: Picture, on backend: B) throws(OperationError) -> HostTensor {
    let pixels = picture.tensor.reshaped([1, picture.height, picture.width, 3])
    return try backend.download(encode(backend.upload(pixels, as: backend.precision)))
  }
}
