import Images
import ModelFiles
import TestSupport
import Testing

@testable import TextualInversion

/// How a picture becomes one of a given size, held against Pillow's pixels (Tools/reference/images.py) and the definition.
@Suite struct FittedPictureTests {
  private static func expected(_ name: String) throws -> Picture {
    let tensor = try SafetensorsFile(Fixtures.url("images/images.safetensors")).integers(name)
    return Picture(width: tensor.shape[1], height: tensor.shape[0], pixels: tensor.values.map { UInt8($0) })
  }

  /// diffusers' script cuts `(h - crop) // 2` to `(h + crop) // 2` and the same of the width.
  @Test(arguments: ["wide", "tall"], [16, 32]) func makesSquaresAsTrainersDo(name: String, side: Int) throws {
    let source = try Self.expected("resize.source.\(name)")
    let size = PictureSize(width: side, height: side)
    for fitting in [PictureFitting.crop, .squash] {
      let views = FittedPicture.fitted(source, to: size, fitting)
      #expect(try views.map(\.picture) == [Self.expected("square.\(name).\(fitting.rawValue).\(side)")])
    }
  }

  /// Pixels that are their own place: red is x, green is y.
  private func places(_ width: Int, _ height: Int) -> Picture {
    Picture(
      width: width, height: height,
      pixels: (0..<width * height).flatMap { [UInt8($0 % width), UInt8($0 / width), 0] })
  }

  private func corners(_ picture: Picture) -> [UInt8] {
    Array(picture.pixels.prefix(2)) + Array(picture.pixels.suffix(3).prefix(2))
  }

  /// At its own scale a part is a part of the pixels: no resizing hides where it lies.
  @Test func partsLieEvenlyBetweenTheEdges() {
    let square = PictureSize(width: 5, height: 5)
    func parts(_ picture: Picture, _ size: PictureSize, _ fitting: PictureFitting) -> [[UInt8]] {
      FittedPicture.fitted(picture, to: size, fitting).map { corners($0.picture) }
    }
    #expect(parts(places(10, 5), square, .crop) == [[2, 0, 6, 4]])
    #expect(
      parts(places(13, 5), square, .random) == [
        [0, 0, 4, 4], [2, 0, 6, 4], [4, 0, 8, 4], [6, 0, 10, 4], [8, 0, 12, 4],
      ])
    #expect(parts(places(5, 7), square, .random) == [[0, 0, 4, 4], [0, 1, 4, 5], [0, 2, 4, 6]])
    #expect(parts(places(5, 5), square, .random) == [[0, 0, 4, 4]])
    #expect(parts(places(9, 4), PictureSize(width: 6, height: 4), .crop) == [[1, 0, 6, 3]])
    #expect(parts(places(4, 4), PictureSize(width: 8, height: 8), .crop).count == 1)
    let line = Picture(width: 3000, height: 1, color: .white)
    #expect(FittedPicture.fitted(line, to: PictureSize(width: 16, height: 64), .crop)[0].picture.height == 64)
  }

  /// Sizes as SDXL's training has them: of the picture in the file, of the cut in the picture brought to its size, of what is
  /// learned. 600 x 400 pixels at 64: the shorter side becomes 64, the longer 96, of which 16 are cut on either side. In 96 x 48
  /// pixels the picture becomes 96 x 64, of which 8 are cut above.
  @Test func cutsAreThoseOfThePictureBeforeItWasCut() {
    let wide = Picture(width: 600, height: 400, color: .white)
    let tall = Picture(width: 400, height: 600, color: .white)
    let square = PictureSize(width: 64, height: 64)
    func cuts(_ picture: Picture, _ size: PictureSize, _ fitting: PictureFitting) -> [[Float]] {
      FittedPicture.fitted(picture, to: size, fitting).map(\.cut.numbers)
    }
    #expect(cuts(wide, square, .crop) == [[400, 600, 0, 16, 64, 64]])
    #expect(cuts(tall, square, .crop) == [[600, 400, 16, 0, 64, 64]])
    #expect(cuts(wide, square, .squash) == [[400, 600, 0, 0, 64, 64]])
    #expect(cuts(wide, PictureSize(width: 96, height: 48), .crop) == [[400, 600, 8, 0, 48, 96]])
    #expect(cuts(wide, square, .random).map { $0[3] } == [0, 8, 16, 24, 32])
    #expect(FittedPicture(wide).cut.numbers == [400, 600, 0, 0, 400, 600])
  }
}
