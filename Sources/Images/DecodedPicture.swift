import CImageCodecs
import Foundation
import ModelFiles
import Tensors

/// What a file holds: a picture, how much of it can be seen through, and what had to be done to make it plain RGB.
public struct DecodedPicture: Sendable, Hashable {
  /// Something of a file that its picture no longer tells, and that a person may want to know.
  public enum Trait: Sendable, Hashable, CaseIterable {
    /// It was turned or mirrored, as its EXIF data asks for.
    case turned
    /// It was in inks, and became RGB without their profile.
    case cmyk
    /// It had 16 bits a channel, of which the upper eight were taken.
    case deep
  }

  /// The colours, also those that lie beneath transparent parts.
  public let picture: Picture
  /// Its alpha channel; nil where nothing can be seen through.
  public let alpha: Mask?
  public let traits: Set<Trait>

  /// Decodes a PNG, JPEG or WebP file's bytes, as the bytes themselves say what they are, and turns the picture the
  /// way up that its EXIF data asks for. Throws with kind `badData`.
  public init(_ data: Data, pixelLimit: Int = Picture.pixelLimit) throws(UserError) {
    var decoded = image_codecs_picture()
    let done = data.withUnsafeBytes { bytes in
      image_codecs_decode(
        bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, pixelLimit, &decoded)
    }
    guard done == 1 else {
      let message = withUnsafeBytes(of: decoded.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      throw UserError(.badData, message)
    }
    defer { image_codecs_free(&decoded) }
    let (width, height) = (Int(decoded.width), Int(decoded.height))
    let exif = UnsafeBufferPointer(start: decoded.exif, count: decoded.exif == nil ? 0 : decoded.exif_length)
    let orientation = Orientation(exif: Array(exif))
    picture = Picture(
      width: width, height: height,
      pixels: Array(UnsafeBufferPointer(start: decoded.pixels, count: width * height * 3))
    ).oriented(orientation)
    alpha = decoded.alpha.map { alpha in
      Mask(checked: width, height, Array(UnsafeBufferPointer(start: alpha, count: width * height))).oriented(
        orientation)
    }
    let traits: [(Trait, Bool)] = [
      (.turned, orientation != .upright), (.cmyk, decoded.is_cmyk != 0), (.deep, decoded.is_deep != 0),
    ]
    self.traits = Set(traits.filter(\.1).map(\.0))
  }

  /// Reads and decodes a file. Throws with kind `noInput` when it can't be read and `badData` when it is no sound
  /// picture.
  public init(contentsOf url: URL) throws(UserError) {
    let data = try Data(contentsOfInput: url, limit: Picture.fileLimit)
    do throws(UserError) { try self.init(data) } catch { throw error.at(.file(url)) }
  }

  /// The picture as it looks on a ground of one color, equal to Pillow's `ground.paste(picture, mask=alpha)`.
  public func over(_ color: Color) -> Picture {
    guard let alpha else { return picture }
    let ground = [color.red, color.green, color.blue].map(UInt32.init)
    var pixels = picture.pixels
    for (pixel, level) in alpha.levels.enumerated() where level < 255 {
      let level = UInt32(level)
      for channel in 0..<3 {
        let place = 3 * pixel + channel
        // Rounded to the nearest: a division by 255.
        let sum = ground[channel] * (255 - level) + UInt32(pixels[place]) * level + 128
        pixels[place] = UInt8((sum + (sum >> 8)) >> 8)
      }
    }
    return Picture(width: picture.width, height: picture.height, pixels: pixels)
  }
}

extension Picture {
  /// The most pixels a file may claim: what a 100-megapixel camera makes, 300 MB here.
  public static let pixelLimit = 110_000_000

  /// The largest file that is read at all.
  static let fileLimit = 512 << 20

  /// The picture of a file's bytes. Alpha is dropped, as Pillow's `convert("RGB")` and so PyTorch trainers do.
  public init(decoding data: Data, pixelLimit: Int = Picture.pixelLimit) throws(UserError) {
    self = try DecodedPicture(data, pixelLimit: pixelLimit).picture
  }

  /// The picture in a file, likewise.
  public init(contentsOf url: URL) throws(UserError) { self = try DecodedPicture(contentsOf: url).picture }
}
