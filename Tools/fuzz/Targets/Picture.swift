import CImageCodecs
import Foundation

@testable import Images

extension FuzzTarget {
  /// A PNG, JPEG or WebP file of up to a megapixel: at the program's own limit a sound picture takes over a second.
  static let picture = FuzzTarget("picture") { bytes in
    var decoded = image_codecs_picture()
    let done = bytes.withUnsafeBytes {
      image_codecs_decode($0.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, 1 << 20, &decoded)
    }
    guard done == 1 else { return }
    image_codecs_free(&decoded)
    _ = try Picture(decoding: bytes)
  }
}
