import Images
import Tensors

/// A picture as it is learned, and how it was made of the one in the file.
public struct FittedPicture: Sendable {
  public let picture: Picture
  public let cut: PictureCut
  /// What each latent counts in the loss, `[height, width, 1]`, 0 to 1; nil where all count in full.
  public let weights: HostTensor?

  /// A picture that is learned as it is.
  public init(_ picture: Picture) {
    self.init(picture, PictureCut(height: picture.height, width: picture.width))
  }

  private init(_ picture: Picture, _ cut: PictureCut, weights: HostTensor? = nil) {
    self.picture = picture
    self.cut = cut
    self.weights = weights
  }

  /// A picture brought to a size: the whole of it, squeezed, the part in its middle, or one after the other of the parts that are
  /// drawn from.
  ///
  /// A part has the size's shape and reaches from one edge of the picture to the one across. Those that are drawn from lie evenly
  /// between the two other edges, the first and the last against them; fewer where there are not as many places.
  ///
  /// - Parameters:
  ///   - mask: what of the picture counts, of the picture's size or another; the weight of a latent is its mean over what the
  ///     latent covers.
  ///   - cell: the side of that, in pixels of the size.
  static func fitted(
    _ picture: Picture, to size: PictureSize, _ fitting: PictureFitting, mask: Mask? = nil, cell: Int = 8
  ) -> [FittedPicture] {
    func weights(x: Int, y: Int, width: Int, height: Int) -> HostTensor? {
      guard let mask, cell > 0 else { return nil }
      let area = PictureArea(x: Double(x), y: Double(y), width: Double(width), height: Double(height))
        .scaled(Double(mask.width) / Double(picture.width), Double(mask.height) / Double(picture.height))
      let (columns, rows) = (size.width / cell, size.height / cell)
      let means = mask.means(over: area, columns: columns, rows: rows)
      return means.allSatisfy { $0 == 1 } ? nil : HostTensor([rows, columns, 1], means)
    }
    var cut = PictureCut(height: size.height, width: size.width)
    cut.originalHeight = picture.height
    cut.originalWidth = picture.width
    guard fitting != .squash else {
      return [
        FittedPicture(
          picture.resized(width: size.width, height: size.height), cut,
          weights: weights(x: 0, y: 0, width: picture.width, height: picture.height))
      ]
    }
    let (width, height) = largestPart(of: picture, shaped: size)
    let (left, top) = (picture.width - width, picture.height - height)
    // The picture's scale, and what is too much of it in the model's pixels.
    let scale = max(Double(size.width) / Double(picture.width), Double(size.height) / Double(picture.height))
    let excessLeft = max(0, Double(picture.width) * scale - Double(size.width))
    let excessTop = max(0, Double(picture.height) * scale - Double(size.height))
    let places =
      fitting == .random ? Array(0...PictureFitting.randomPlaces - 1) : [(PictureFitting.randomPlaces - 1) / 2]
    let last = PictureFitting.randomPlaces - 1
    var seen: Set<[Int]> = []
    return places.compactMap { place in
      let (x, y) = (left * place / last, top * place / last)
      guard seen.insert([x, y]).inserted else { return nil }
      cut.left = Int((excessLeft * Double(place) / Double(last)).rounded())
      cut.top = Int((excessTop * Double(place) / Double(last)).rounded())
      let part = picture.cropped(x: x, y: y, width: width, height: height)
      return FittedPicture(
        part.resized(width: size.width, height: size.height), cut,
        weights: weights(x: x, y: y, width: width, height: height))
    }
  }

  /// The largest part of a picture that has the shape of `size`, to the nearest pixel.
  private static func largestPart(of picture: Picture, shaped size: PictureSize) -> (width: Int, height: Int) {
    func nearest(_ length: Int, _ numerator: Int, _ denominator: Int, within limit: Int) -> Int {
      min(limit, max(1, (2 * length * numerator + denominator) / (2 * denominator)))
    }
    return picture.width * size.height > picture.height * size.width
      ? (nearest(picture.height, size.width, size.height, within: picture.width), picture.height)
      : (picture.width, nearest(picture.width, size.height, size.width, within: picture.height))
  }
}

/// How a picture was cut, which SDXL is told beside the prompt (Podell et al., "SDXL: improving latent diffusion models",
/// 2023, section 2.2). All in pixels.
public struct PictureCut: Sendable, Hashable {
  /// The picture's as it was in the file.
  public var originalHeight: Int
  public var originalWidth: Int
  /// Where the part that is learned begins in the picture once it has been brought to its size.
  public var top = 0
  public var left = 0
  /// The learned part's.
  public var targetHeight: Int
  public var targetWidth: Int

  /// That of a picture which is learned whole, at its own size.
  public init(height: Int, width: Int) {
    originalHeight = height
    originalWidth = width
    targetHeight = height
    targetWidth = width
  }

  /// From six numbers in the order of `numbers`; nil where there are others.
  init?(_ numbers: [Int]) {
    guard numbers.count == 6 else { return nil }
    (originalHeight, originalWidth, top, left) = (numbers[0], numbers[1], numbers[2], numbers[3])
    (targetHeight, targetWidth) = (numbers[4], numbers[5])
  }

  /// In the order in which the model takes them.
  public var numbers: [Float] {
    [originalHeight, originalWidth, top, left, targetHeight, targetWidth].map(Float.init)
  }
}

/// How a picture is brought to a size that is not its own.
public enum PictureFitting: String, Sendable, Codable, CaseIterable {
  /// The largest part of that shape in its middle.
  case crop
  /// One of five such parts, drawn anew each time.
  case random
  /// The whole picture, squeezed.
  case squash

  /// How many parts of a picture are drawn from: few enough to be encoded once.
  static let randomPlaces = 5
}
