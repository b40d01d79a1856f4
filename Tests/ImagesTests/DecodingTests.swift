import Foundation
import Images
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite struct DecodingTests {
  @Test(arguments: Pictures.names + Pictures.turned) func decodesAsPillowDoes(name: String) throws {
    let picture = try Picture(contentsOf: Pictures.url(name))
    let expected = try Pictures.expected(name)
    #expect(picture.width == expected.width && picture.height == expected.height)
    let worst = zip(picture.pixels, expected.pixels).map { abs(Int($0) - Int($1)) }.max() ?? 255
    // Two versions of a lossy format's decoder may round differently; the script lists the files where nothing is
    // rounded.
    let exact = try SafetensorsFile(Pictures.url("images.safetensors")).metadata["exact"]?.split(separator: " ") ?? []
    #expect(worst <= (exact.contains(Substring(name)) ? 0 : 2))
  }

  /// JPEG's decoder would fill what is missing with grey; PNG's and WebP's could stop anywhere.
  @Test(arguments: Pictures.names + Pictures.turned.prefix(1)) func refusesAFileThatIsCutShort(name: String) throws {
    let whole = try Pictures.data(name)
    // JPEG ends with a marker of two bytes that libjpeg itself replaces when only that is missing, WebP may with a
    // byte of padding. PNG has its last chunk, a checksum and the end of a stream behind the last pixel.
    let margin = name.hasSuffix(".png") ? 24 : 3
    for length in stride(from: 0, through: whole.count - margin, by: max(1, whole.count / 97)) + [whole.count - margin]
    {
      let error = userError { _ = try Picture(decoding: whole.prefix(length)) }
      #expect(error?.kind == .badData, "\(length) of \(whole.count) bytes")
    }
  }

  /// Pillow, too, reads a PNG that lacks its last chunk of twelve bytes, a part of it, or the checksum of four before it.
  @Test(arguments: Pictures.names.filter { $0.hasSuffix(".png") }) func readsWhatIsCutBehindTheLastPixel(name: String)
    throws
  {
    let whole = try Pictures.data(name)
    let expected = try Pictures.expected(name)
    for missing in 1...16 { #expect(try Picture(decoding: whole.dropLast(missing)).pixels == expected.pixels) }
  }

  /// Pillow's alpha of these files goes below 250, or there is none that does.
  @Test func noticesTransparency() throws {
    for name in Pictures.names {
      let isTransparent = [
        "rgba.png", "grey-alpha.png", "palette-transparent.png", "alpha.webp",
      ].contains(name)
      #expect(try (DecodedPicture(Pictures.data(name)).alpha != nil) == isTransparent, "\(name)")
    }
  }

  @Test func saysWhatIsWrong() throws {
    #expect(userError { _ = try Picture(decoding: Data("hello".utf8)) }?.message == "not a PNG, JPEG or WebP picture")
    #expect(userError { _ = try Picture(decoding: Data()) }?.kind == .badData)
    let missing = userError { _ = try Picture(contentsOf: Pictures.url("nowhere.png")) }
    #expect(missing?.kind == .noInput)
    #expect(missing?.message.contains("nowhere.png") == true)
    #expect(userError { _ = try Picture(contentsOf: Pictures.url("")) }?.kind == .noInput)
    #expect(userError { _ = try Picture(contentsOf: URL(fileURLWithPath: "/dev/zero")) }?.kind == .noInput)
  }

  @Test(arguments: ["cut.png", "cut.jpg", "cut.webp", "text.png", "empty.jpg", "huge.png"]) func refusesFaultyFiles(
    name: String
  ) {
    #expect(userError { _ = try Picture(contentsOf: Pictures.url("faulty/\(name)")) }?.kind == .badData)
  }

  /// A few bytes that claim thirty thousand million pixels; PNG's checksum is right, so only the limit stops it.
  @Test func refusesASizeBeyondTheLimit() throws {
    var png = try Pictures.data("rgb.png")
    png.replaceSubrange(16..<24, with: [0, 2, 0, 0, 0, 4, 0, 0])
    png.replaceSubrange(29..<33, with: checksum(png[12..<29]))
    #expect(userError { _ = try Picture(decoding: png) }?.message.contains("limit") == true)
    var jpeg = try Pictures.data("rgb.jpg")
    let frame = try #require(jpeg.firstRange(of: [0xFF, 0xC0]))
    jpeg.replaceSubrange(frame.lowerBound + 5..<frame.lowerBound + 9, with: [0xFF, 0xDC, 0xFF, 0xDC])
    #expect(userError { _ = try Picture(decoding: jpeg) }?.message.contains("limit") == true)
  }

  /// A progressive picture's first pass, many times over.
  @Test func endlessPassesAreRefused() throws {
    let jpeg = try Pictures.data("progressive.jpg")
    let start = try #require(jpeg.firstRange(of: [0xFF, 0xDA])).lowerBound
    let rest = jpeg[(start + 2)...]
    let markers = [[0xFF, 0xDA], [0xFF, 0xC4]].compactMap { (marker: [UInt8]) in rest.firstRange(of: marker)?.lowerBound
    }
    let end = try #require(markers.min())
    func repeated(_ times: Int) -> Data {
      (0..<times).reduce(into: Data(jpeg[..<start])) { bytes, _ in bytes += jpeg[start..<end] } + jpeg[end...]
    }
    #expect(try Picture(decoding: repeated(2)) == Picture(decoding: jpeg))
    #expect(userError { _ = try Picture(decoding: repeated(200)) }?.message.contains("over 100 passes") == true)
  }

  /// Texts that unpack to 16 MB each, sixteen of them: nobody asked for them, so nothing is unpacked.
  @Test func textsOfAPictureTakeNoMemory() throws {
    let png = try Pictures.data("rgb.png")
    let content = try Data("Comment".utf8) + [0, 0] + Zlib.deflate(Data(count: 16 << 20))
    let checked = Data("zTXt".utf8) + content
    let length = (0..<4).map { UInt8(truncatingIfNeeded: content.count >> (24 - 8 * $0)) }
    let chunk = Data(length) + checked + checksum(checked)
    let bomb = (0..<16).reduce(into: png[..<33]) { bytes, _ in bytes += chunk } + png[33...]
    let before = residentMegabytes()
    #expect(try Picture(decoding: bomb) == Picture(decoding: png))
    #expect(residentMegabytes() - before < 100)
  }

  /// The most memory that the process has had at a time.
  private func residentMegabytes() -> Int {
    var usage = rusage()
    getrusage(.init(RUSAGE_SELF.rawValue), &usage)
    return Int(usage.ru_maxrss) >> 10
  }

  /// Wrong bytes anywhere end in a picture or in a `UserError`.
  @Test(arguments: Pictures.names + ["orientation-6.jpg"]) func survivesDamage(name: String) throws {
    let whole = try Pictures.data(name)
    let seed = UInt64(name.utf8.reduce(0) { $0 * 31 % 65521 + UInt64($1) })
    for trial in 0..<200 {
      let random = Philox(seed: seed, stream: 1, step: UInt32(trial))
      var damaged = whole
      for flip in 0...random.integer(below: 3, at: 0) {
        let place = random.integer(below: damaged.count, at: 2 * flip + 1)
        damaged[place] = UInt8(random.integer(below: 256, at: 2 * flip + 2))
      }
      if name.hasSuffix(".png"), trial % 2 == 0 { damaged = withChecksums(damaged) }
      do {
        let picture = try Picture(decoding: damaged)
        #expect(picture.pixels.count == picture.width * picture.height * 3)
      } catch {
        #expect(error.kind == .badData)
      }
    }
  }

  /// The same bytes with every chunk's checksum made right, so that damage reaches what lies behind it.
  private func withChecksums(_ png: Data) -> Data {
    var png = png
    var position = 8
    while position + 12 <= png.count {
      let length = png[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
      guard position + 12 + length <= png.count else { break }
      let end = position + 8 + length
      png.replaceSubrange(end..<end + 4, with: checksum(png[position + 4..<end]))
      position = end + 4
    }
    return png
  }

  /// CRC-32 as PNG's specification defines it, highest byte first.
  private func checksum(_ bytes: Data) -> [UInt8] {
    var crc = UInt32.max
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    return (0..<4).map { UInt8(truncatingIfNeeded: ~crc >> UInt32(24 - 8 * $0)) }
  }
}
