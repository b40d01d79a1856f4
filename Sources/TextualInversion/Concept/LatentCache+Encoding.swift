import Operators
import StableDiffusion
import Tensors

extension LatentCache {
  /// A concept's pictures as a model's VAE sees them. Of the VAE the encoder is loaded, and that only where a picture is not kept in
  /// `files`.
  ///
  /// - Parameters:
  ///   - backend: of `shape.autoencoder.precision(beside:)`.
  ///   - withMirrored: whether mirrored pictures will be asked for.
  ///   - warn: told of a kept picture that is damaged.
  ///   - progress: told how many pictures are done, none at first; the work ends where it returns false, and then there is no cache.
  init?<B: Backend>(
    _ concept: Concept, by model: StableDiffusionModel, on backend: B, files: LatentFiles, withMirrored: Bool,
    warn: (String) throws -> Void = { _ in }, progress: (Int) throws -> Bool
  ) throws {
    guard try progress(0) else { return nil }
    var encoder: AutoencoderKL<B>?
    try self.init(
      concept.views, scale: model.shape.autoencoder.scalingFactor, withMirrored: withMirrored, progress: progress
    ) { picture in
      let file = files.file(of: picture)
      if let file, let kept = try files.load(file, warn: warn) { return kept }
      let vae = try encoder ?? model.autoencoder(on: backend, parts: .encoder)
      encoder = vae
      let moments = try vae.moments(of: picture, on: backend)
      if let file { files.store(moments, in: file) }
      return moments
    }
  }
}
