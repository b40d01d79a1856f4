import StableDiffusion

/// The sizes that pictures are brought to, so that each keeps its shape and all have about the same area.
///
/// The rule is kohya's (sd-scripts, `make_bucket_resolutions` and `BucketManager.select_bucket`): sides are multiples of a step,
/// from half to twice the square's; a height is the longest with which the area stays within the square's; of all sizes a picture
/// takes the one whose width over height is nearest to its own, the narrower of two.
package struct AspectBuckets: Sendable, Hashable {
  /// In the order of width, then height.
  package let sizes: [PictureSize]

  /// The square of `resolution` pixels alone.
  package init(resolution: Int) { sizes = [PictureSize(width: resolution, height: resolution)] }

  /// The square and what has its area otherwise.
  ///
  /// - Parameter step: what the sides of all but the square are multiples of; at least 1.
  package init(resolution: Int, step: Int) {
    let step = max(1, step)
    let area = resolution * resolution
    let shortest = max(step, resolution / 2 / step * step)
    let longest = (2 * resolution + step - 1) / step * step
    var sizes: Set = [PictureSize(width: resolution, height: resolution)]
    for width in stride(from: shortest, through: longest, by: step) {
      let height = min(longest, area / width / step * step)
      if height >= shortest, height != width {
        sizes.formUnion([PictureSize(width: width, height: height), PictureSize(width: height, height: width)])
      }
    }
    self.sizes = sizes.sorted { ($0.width, $0.height) < ($1.width, $1.height) }
  }

  /// The size that a picture is brought to.
  ///
  /// - Parameters:
  ///   - width: the picture's, in pixels, at least 1; as is its height.
  package func size(width: Int, height: Int) -> PictureSize {
    let own = PictureSize(width: width, height: height)
    if sizes.contains(own) { return own }
    var nearest = sizes[0]
    for size in sizes.dropFirst() where size.distance(own) < nearest.distance(own) { nearest = size }
    return nearest
  }
}

/// A picture's width and height in pixels.
public struct PictureSize: Sendable, Hashable, CustomStringConvertible {
  public let width: Int
  public let height: Int

  public init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }

  public var description: String { "\(width) x \(height)" }

  /// How far the widths over the heights are apart.
  fileprivate func distance(_ other: PictureSize) -> Double {
    abs(Double(width) / Double(height) - Double(other.width) / Double(other.height))
  }
}

extension TrainingSettings {
  /// The sizes that pictures are brought to for a model.
  func buckets(_ model: ModelShape) -> AspectBuckets {
    pictureSet.buckets
      ? AspectBuckets(resolution: resolution, step: model.bucketStep(resolution: resolution))
      : AspectBuckets(resolution: resolution)
  }
}

extension ModelShape {
  /// What the sides of pictures that are no squares are multiples of: 64 pixels, as other trainers have it, and for pictures under
  /// 512 pixels what one of the UNet's coarsest features covers.
  func bucketStep(resolution: Int) -> Int {
    let coarsest = autoencoder.sizeMultiple << max(0, unet.levels.count - 1)
    return resolution < 512 ? coarsest : (64 + coarsest - 1) / coarsest * coarsest
  }
}
