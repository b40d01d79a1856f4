import Testing

@testable import Images

/// Bytes after the TIFF 6.0 specification; the turning itself is held against Pillow in `DecodingTests`.
@Suite struct OrientationTests {
  /// One directory with one entry of tag 274.
  private let little: [UInt8] = [
    0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0,
  ]
  private let big: [UInt8] = [0x4D, 0x4D, 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0]

  @Test func readsBothByteOrders() {
    #expect(Orientation(exif: little) == .quarterRight)
    #expect(Orientation(exif: big) == .quarterLeft)
  }

  @Test func whatIsNotUnderstoodIsUpright() {
    #expect(Orientation(exif: []) == .upright)
    for length in 0..<20 { #expect(Orientation(exif: Array(little.prefix(length))) == .upright, "\(length)") }
    // Another tag, another type, another count, a value out of range, a directory out of the data, no TIFF.
    for (place, byte) in [(10, 0x13), (12, 4), (14, 2), (18, 0), (18, 9), (19, 1), (4, 200), (7, 255), (0, 0x4D)] {
      var bytes = little
      bytes[place] = UInt8(byte)
      #expect(Orientation(exif: bytes) == .upright, "byte \(place)")
    }
  }
}
