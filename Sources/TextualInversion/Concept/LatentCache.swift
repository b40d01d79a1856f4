import Images
import Operators
import StableDiffusion
import Tensors

/// The VAE's view of every picture, made once: training draws from these distributions and never needs the VAE again.
public struct LatentCache: Sendable {
  /// The latents' `[height, width, channels]`.
  public let shape: Shape
  private let plain: [LatentDistribution]
  private let mirrored: [LatentDistribution]
  private let scale: Float

  /// How many pictures there are.
  public var count: Int { plain.count }

  /// Encodes square pictures, one at a time.
  ///
  /// - Parameters:
  ///   - pictures: squares of a side that the VAE can halve all the way down.
  ///   - withMirrored: whether mirrored pictures will be asked for.
  ///   - progress: told how many pictures are done; the work ends where it returns false, and then there is no cache.
  public init?<B: Backend>(
    _ pictures: [Picture], vae: AutoencoderKL<B>, backend: B, withMirrored: Bool,
    progress: (Int) throws -> Bool = { _ in true }
  ) throws {
    func distribution(_ picture: Picture) throws -> LatentDistribution {
      let pixels = picture.tensor.reshaped([1, picture.height, picture.width, 3])
      return LatentDistribution(
        moments: try backend.download(vae.encode(backend.upload(pixels, as: backend.precision))))
    }
    var plain: [LatentDistribution] = []
    var mirrored: [LatentDistribution] = []
    for picture in pictures {
      plain.append(try distribution(picture))
      if withMirrored { mirrored.append(try distribution(picture.flipped)) }
      guard try progress(plain.count) else { return nil }
    }
    guard let first = plain.first else { throw UserError(.noInput, "there is no picture to learn from") }
    shape = Shape(Array(first.mean.shape.dimensions.dropFirst()))
    scale = vae.configuration.scalingFactor
    self.plain = plain
    self.mirrored = mirrored
  }

  /// Scaled latents of picture `index`, `[height * width * channels]`, drawn with standard normal `noise` of that count.
  func sample(_ index: Int, mirrored isMirrored: Bool, noise: [Float]) -> [Float] {
    (isMirrored ? mirrored : plain)[index].sample(noise: noise, scale: scale).values
  }
}
