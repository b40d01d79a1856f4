import CImageCodecs
import Foundation
import ModelFiles
import Tensors

extension Picture {
  /// The most pixels a file may claim: what a 100-megapixel camera makes, 300 MB here.
  public static let pixelLimit = 110_000_000

  /// The largest file that is read at all.
  static let fileLimit = 512 << 20

  /// Decodes a PNG, JPEG or WebP file's bytes, as the bytes themselves say what they are, and turns the picture the
  /// way up that its EXIF data asks for.
  ///
  /// Alpha is dropped, as Pillow's `convert("RGB")` and so PyTorch trainers do. Throws with kind `badData`.
  public init(decoding data: Data, pixelLimit: Int = Picture.pixelLimit) throws(UserError) {
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
    let picture = Picture(
      width: width, height: height,
      pixels: Array(UnsafeBufferPointer(start: decoded.pixels, count: width * height * 3)))
    let exif = UnsafeBufferPointer(start: decoded.exif, count: decoded.exif == nil ? 0 : decoded.exif_length)
    self = picture.oriented(Orientation(exif: Array(exif)))
    hasTransparency = decoded.is_transparent != 0
  }

  /// Reads and decodes a file. Throws with kind `noInput` when it can't be read and `badData` when it is no sound
  /// picture.
  public init(contentsOf url: URL) throws(UserError) {
    let data = try Data(contentsOfInput: url, limit: Picture.fileLimit)
    do throws(UserError) { try self.init(decoding: data) } catch { throw error.at(.file(url)) }
  }
}
