import Images
import Operators
import StableDiffusion
import Tensors

/// The VAE's view of every picture, made once: training draws from these distributions and never needs the VAE again.
public struct LatentCache: Sendable {
  /// One picture's.
  struct Entry: Sendable {
    /// The latents' `[height, width, channels]`.
    let shape: Shape
    let cut: PictureCut
    fileprivate let plain: LatentDistribution
    fileprivate let mirrored: LatentDistribution?
  }

  let entries: [Entry]
  private let scale: Float

  /// How many pictures there are.
  public var count: Int { entries.count }

  /// Encodes pictures, one at a time.
  ///
  /// - Parameters:
  ///   - pictures: of sides that the VAE can halve all the way down.
  ///   - withMirrored: whether mirrored pictures will be asked for.
  ///   - progress: told how many pictures are done; the work ends where it returns false, and then there is no cache.
  public init?<B: Backend>(
    _ pictures: [FittedPicture], vae: AutoencoderKL<B>, backend: B, withMirrored: Bool,
    progress: (Int) throws -> Bool = { _ in true }
  ) throws {
    func distribution(_ picture: Picture) throws -> LatentDistribution {
      let pixels = picture.tensor.reshaped([1, picture.height, picture.width, 3])
      return LatentDistribution(
        moments: try backend.download(vae.encode(backend.upload(pixels, as: backend.precision))))
    }
    var entries: [Entry] = []
    for fitted in pictures {
      let plain = try distribution(fitted.picture)
      entries.append(
        Entry(
          shape: Shape(Array(plain.mean.shape.dimensions.dropFirst())), cut: fitted.cut, plain: plain,
          mirrored: withMirrored ? try distribution(fitted.picture.flipped) : nil))
      guard try progress(entries.count) else { return nil }
    }
    guard !entries.isEmpty else { throw UserError(.noInput, "there is no picture to learn from") }
    scale = vae.configuration.scalingFactor
    self.entries = entries
  }

  /// Scaled latents of picture `index`, `[height * width * channels]`, drawn with standard normal `noise` of that count.
  func sample(_ index: Int, mirrored isMirrored: Bool, noise: [Float]) -> [Float] {
    let entry = entries[index]
    return (isMirrored ? entry.mirrored ?? entry.plain : entry.plain).sample(noise: noise, scale: scale).values
  }
}
