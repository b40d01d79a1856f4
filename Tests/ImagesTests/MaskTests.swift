import Foundation
import Images
import ModelFiles
import TestSupport
import Tensors
import Testing

/// Masks and transparent pictures, held against numpy and Pillow: Tools/reference/masks.py.
@Suite struct MaskTests {
  private static let fixture = Result { try SafetensorsFile(Fixtures.url("masks.safetensors")) }

  private func levels(_ name: String) throws -> (shape: Shape, values: [UInt8]) {
    let tensor = try Self.fixture.get().integers(name)
    return (tensor.shape, tensor.values.map { UInt8($0) })
  }

  private func mask(_ name: String) throws -> Mask {
    let (shape, values) = try levels(name)
    return try Mask(width: shape[1], height: shape[0], levels: values)
  }

  /// Within the rounding of a float of numpy's means in double precision.
  @Test(arguments: ["disc", "soft", "noise"]) func meansAreThoseOfTheArea(name: String) throws {
    let fixture = try Self.fixture.get()
    let mask = try mask("mask.\(name)")
    let cases = fixture.names.filter { $0.hasPrefix("means.\(name).") }
    #expect(cases.count == 7)
    for name in cases {
      let expected = try fixture.tensor(name)
      let area = try fixture.tensor(name.replacingOccurrences(of: "means", with: "area")).values.map(Double.init)
      let means = mask.means(
        over: PictureArea(x: area[0], y: area[1], width: area[2], height: area[3]), columns: expected.shape[1],
        rows: expected.shape[0])
      #expect(means.count == expected.shape.count)
      for (actual, expected) in zip(means, expected.values) { #expect(abs(actual - expected) <= 1e-7, "\(name)") }
    }
  }

  @Test(arguments: ["rgb.png", "grey.png"]) func greysArePillows(name: String) throws {
    #expect(try Mask(DecodedPicture(Pictures.data(name))) == mask("grey.\(name)"))
  }

  @Test(arguments: ["rgba.png", "grey-alpha.png", "palette-transparent.png", "colour-key.png", "alpha.webp"])
  func transparentPartsLieOverAColor(name: String) throws {
    let decoded = try DecodedPicture(Pictures.data(name))
    let alpha = try mask("alpha.\(name)")
    // Pillow's alpha goes below 250, or there is nothing that can be seen through.
    #expect(decoded.alpha == (alpha.levels.contains { $0 < 250 } ? alpha : nil))
    for (color, text) in [(Color.white, "white"), (.black, "black"), (Color(0x10, 0x40, 0x80), "104080")] {
      #expect(try decoded.over(color).pixels == levels("over.\(name).\(text)").values, "\(text)")
    }
  }

  /// Of a mask that can be seen through, what is transparent counts as nothing: Pillow's picture on black, in grey.
  @Test func aMasksOwnAlphaCounts() throws {
    let black = try levels("over.rgba.png.black").values
    let decoded = try DecodedPicture(Pictures.data("rgba.png"))
    let opaque = try DecodedPicture(
      Picture(width: decoded.picture.width, height: decoded.picture.height, rgb: black).encodedPNG())
    #expect(Mask(decoded) == Mask(opaque))
  }

  @Test func masksMultiply() throws {
    let one = try Mask(width: 2, height: 2, levels: [255, 128, 0, 51])
    let other = try Mask(width: 4, height: 2, levels: [255, 255, 255, 0, 0, 0, 100, 100])
    #expect(one.multiplied(by: other).levels == [255, 64, 0, 20])
  }

  @Test func levelsMustFillAMask() throws {
    for (width, height) in [(1, 1), (0, 0), (-1, -2), (2, 2), (Int.max, 2)] {
      #expect(throws: UserError.self) { try Mask(width: width, height: height, levels: [1, 2, 3]) }
    }
  }

  /// The mask turns with its picture: the tag's eight values, on a mask whose levels are their own places.
  @Test func alphaTurnsWithItsPicture() throws {
    let opaque = try DecodedPicture(Pictures.data("orientation-6.png"))
    #expect(opaque.traits == [.turned] && opaque.alpha == nil)
    // By the standard's words: where the first row and the first column of what is stored belong.
    let upright: [(rows: [[UInt8]], place: String)] = [
      ([[10, 20, 30], [40, 50, 60]], "top, left"), ([[30, 20, 10], [60, 50, 40]], "top, right"),
      ([[60, 50, 40], [30, 20, 10]], "bottom, right"), ([[40, 50, 60], [10, 20, 30]], "bottom, left"),
      ([[10, 40], [20, 50], [30, 60]], "left, top"), ([[40, 10], [50, 20], [60, 30]], "right, top"),
      ([[60, 30], [50, 20], [40, 10]], "right, bottom"), ([[30, 60], [20, 50], [10, 40]], "left, bottom"),
    ]
    for (index, (rows, place)) in upright.enumerated() {
      let stored = try transparentPNG(
        width: 3, height: 2, alpha: [10, 20, 30, 40, 50, 60], orientation: UInt8(index + 1))
      let turned = try #require(try DecodedPicture(stored).alpha)
      #expect(
        turned.width == rows[0].count && turned.height == rows.count && turned.levels == rows.joined().map(\.self),
        "\(place)")
    }
  }

  @Test func saysWhatHadToBeDone() throws {
    for (name, traits) in [
      ("rgb.png", []), ("rgb16.png", [.deep]), ("grey16.png", [.deep]), ("cmyk.jpg", [.cmyk]), ("rgb.jpg", []),
      ("orientation-1.jpg", []), ("orientation-3.jpg", [.turned]), ("orientation-6.webp", [.turned]),
    ] as [(String, Set<DecodedPicture.Trait>)] {
      #expect(try DecodedPicture(Pictures.data(name)).traits == traits, "\(name)")
    }
  }

  /// A PNG of black pixels with alpha and an EXIF chunk, laid out as the specification has them.
  private func transparentPNG(width: Int, height: Int, alpha: [UInt8], orientation: UInt8) throws -> Data {
    func big(_ number: Int) -> Data { Data([24, 16, 8, 0].map { UInt8(number >> $0 & 255) }) }
    func chunk(_ kind: String, _ data: Data) -> Data {
      let content = Data(kind.utf8) + data
      return big(data.count) + content + big(Int(content.withUnsafeBytes { CRC32.iso.checksum($0) }))
    }
    var rows = Data()
    for y in 0..<height {
      rows.append(0)
      for x in 0..<width { rows.append(contentsOf: [0, 0, 0, alpha[y * width + x]]) }
    }
    let exif = Data([0x4D, 0x4D, 0, 42, 0, 0, 0, 8, 0, 1, 1, 18, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0])
    return Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
      + chunk("IHDR", big(width) + big(height) + Data([8, 6, 0, 0, 0])) + chunk("eXIf", exif)
      + chunk("IDAT", try Zlib.deflate(rows)) + chunk("IEND", Data())
  }
}
