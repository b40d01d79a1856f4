import Images
import StableDiffusion
import Tensors

/// The VAE's view of every picture, made once: training draws from these distributions and never needs the VAE again.
public struct LatentCache: Sendable {
  /// A picture as it is learned, one of several ways.
  struct View: Sendable {
    let cut: PictureCut
    /// What each latent counts, `[height, width, 1]`, as the picture lies; nil where all count in full.
    fileprivate let weights: HostTensor?
    fileprivate let plain: LatentDistribution
    fileprivate let mirrored: LatentDistribution?
  }

  /// One picture's.
  struct Entry: Sendable {
    /// The latents' `[height, width, channels]`, of all views.
    let shape: Shape
    let views: [View]
  }

  let entries: [Entry]
  private let scale: Float

  /// How many pictures there are.
  public var count: Int { entries.count }

  /// Encodes pictures, one view at a time.
  ///
  /// - Parameters:
  ///   - pictures: the views of each, of one size with sides that the VAE can halve all the way down.
  ///   - scale: the VAE's scaling factor.
  ///   - withMirrored: whether mirrored pictures will be asked for.
  ///   - progress: told how many pictures are done; the work ends where it returns false, and then there is no cache.
  ///   - moments: the VAE's, `[1, height, width, 2 * channels]` of a picture.
  public init?(
    _ pictures: [[FittedPicture]], scale: Float, withMirrored: Bool, progress: (Int) throws -> Bool = { _ in true },
    moments: (Picture) throws -> HostTensor
  ) throws {
    func distribution(_ picture: Picture) throws -> LatentDistribution {
      LatentDistribution(moments: try moments(picture))
    }
    var entries: [Entry] = []
    for views in pictures {
      let views = try views.map { view in
        View(
          cut: view.cut, weights: view.weights, plain: try distribution(view.picture),
          mirrored: withMirrored ? try distribution(view.picture.flipped) : nil)
      }
      guard let shape = views.first?.plain.mean.shape,
        views.allSatisfy({ $0.plain.mean.shape == shape && ($0.weights?.shape.count ?? shape.rows) == shape.rows })
      else { throw UserError(.badData, "a picture has no view, or views and weights of several sizes") }
      entries.append(Entry(shape: Shape(Array(shape.dimensions.dropFirst())), views: views))
      guard try progress(entries.count) else { return nil }
    }
    guard !entries.isEmpty else { throw UserError(.noInput, "there is no picture to learn from") }
    self.scale = scale
    self.entries = entries
  }

  /// Scaled latents of a view of picture `index`, `[height * width * channels]`, drawn with standard normal `noise` of that count.
  func sample(_ index: Int, view: Int, mirrored isMirrored: Bool, noise: [Float]) -> [Float] {
    let view = entries[index].views[view]
    return (isMirrored ? view.mirrored ?? view.plain : view.plain).sample(noise: noise, scale: scale).values
  }

  /// What each latent of a view counts, `[height * width]`; nil where all count in full.
  func weights(_ index: Int, view: Int, mirrored isMirrored: Bool) -> [Float]? {
    guard let weights = entries[index].views[view].weights else { return nil }
    guard isMirrored else { return weights.values }
    let width = weights.shape[1]
    return stride(from: 0, to: weights.values.count, by: width).flatMap { weights.values[$0..<$0 + width].reversed() }
  }
}
