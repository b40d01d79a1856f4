import Images

/// A picture as it is learned, and how it was made of the one in the file.
public struct FittedPicture: Sendable {
  public let picture: Picture
  public let cut: PictureCut

  /// A picture that is learned as it is.
  public init(_ picture: Picture) {
    self.init(picture, PictureCut(height: picture.height, width: picture.width))
  }

  init(_ picture: Picture, _ cut: PictureCut) {
    self.picture = picture
    self.cut = cut
  }

  /// Brings a picture to a square of `side` pixels.
  init(_ picture: Picture, side: Int, fitting: PictureFitting) {
    var cut = PictureCut(height: side, width: side)
    cut.originalHeight = picture.height
    cut.originalWidth = picture.width
    guard fitting == .crop else {
      self.init(picture.resized(width: side, height: side), cut)
      return
    }
    // Of the picture whose shorter side has been brought to the square's.
    func offset(_ length: Int) -> Int {
      let scaled = Double(length) * Double(side) / Double(min(picture.width, picture.height))
      return Int(((scaled - Double(side)) / 2).rounded())
    }
    cut.top = offset(picture.height)
    cut.left = offset(picture.width)
    self.init(picture.centerCropped.resized(width: side, height: side), cut)
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
