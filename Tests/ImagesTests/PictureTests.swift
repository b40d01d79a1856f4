import Foundation
import Images
import ModelFiles
import Tensors
import Testing

@Suite struct PictureTests {
  @Test func pixelsMustFillAPicture() throws {
    #expect(try Picture(width: 1, height: 2, rgb: [1, 2, 3, 4, 5, 6]).pixels == [1, 2, 3, 4, 5, 6])
    for (width, height) in [(1, 1), (0, 0), (-1, -2), (2, 2), (Int.max, 2), (1 << 62, 4)] {
      #expect(throws: UserError.self) { try Picture(width: width, height: height, rgb: [1, 2, 3, 4, 5, 6]) }
    }
  }

  @Test(arguments: ["wide", "tall"]) func resizesAsPillowDoes(name: String) throws {
    let source = try Pictures.expected("resize.source.\(name)")
    let resized = try SafetensorsFile(Pictures.url("images.safetensors")).names.filter {
      $0.hasPrefix("resize.\(name).")
    }
    #expect(resized.count >= 7)
    for name in resized {
      let expected = try Pictures.expected(name)
      #expect(source.resized(width: expected.width, height: expected.height) == expected, "\(name)")
    }
  }

  /// Pixels that are their own place: red is x, green is y.
  private func places(_ width: Int, _ height: Int) -> Picture {
    Picture(
      width: width, height: height,
      pixels: (0..<width * height).flatMap { [UInt8($0 % width), UInt8($0 / width), 0] })
  }

  private func place(_ picture: Picture, _ x: Int, _ y: Int) -> [UInt8] {
    Array(picture.pixels[(y * picture.width + x) * 3..<(y * picture.width + x) * 3 + 2])
  }

  @Test func flipsLeftAndRight() {
    let flipped = places(3, 2).flipped
    #expect(place(flipped, 0, 0) == [2, 0] && place(flipped, 2, 1) == [0, 1])
    #expect(flipped.flipped == places(3, 2))
  }

  @Test func enlargesWithoutBlending() {
    let large = places(3, 2).enlarged(4)
    #expect(large.width == 12 && large.height == 8)
    #expect(place(large, 7, 3) == [1, 0] && place(large, 8, 4) == [2, 1])
  }

  @Test func turnsIntoATensorAndBack() {
    let picture = places(200, 100)
    let tensor = picture.tensor
    #expect(tensor.shape == [100, 200, 3])
    #expect(tensor.values[0] == -1 && tensor.values[(255 / 3) * 3] == 85 / 127.5 - 1)
    #expect(Picture(tensor) == picture)
    #expect(Picture(tensor.reshaped([1, 100, 200, 3])) == picture)
    let wild = HostTensor([1, 2, 3], [-7, 7, .nan, .infinity, -.infinity, 0])
    #expect(Picture(wild).pixels == [0, 255, 0, 255, 0, 128])
  }

  @Test func encodesWhatItDecodes() throws {
    for name in ["interlaced.png", "rgb.png"] {
      let picture = try Picture(contentsOf: Pictures.url(name))
      #expect(try Picture(decoding: picture.encodedPNG(text: ["a": "b"])) == picture)
    }
    let dot = Picture(width: 1, height: 1, color: Color(1, 2, 3))
    #expect(try Picture(decoding: dot.encodedPNG()) == dot)
  }

  /// The chunks as the PNG specification lays them out: 11.3.4.3 tEXt, 11.3.4.5 iTXt.
  @Test func writesTextChunks() throws {
    let picture = Picture(width: 2, height: 2, color: .white)
    let png = try picture.encodedPNG(
      text: [
        "parameters": "a toy\nSteps: 30", "Latin": "café", "wide": "猫", "": "x",
        "long" + String(repeating: "g", count: 76): "x",
      ])
    #expect(png.firstRange(of: Data("tEXtparameters\0a toy\nSteps: 30".utf8)) != nil)
    #expect(png.firstRange(of: Data("tEXtLatin\0caf".utf8) + [0xE9]) != nil)
    #expect(png.firstRange(of: Data("iTXtwide\0\0\0\0\0猫".utf8)) != nil)
    #expect(png.firstRange(of: Data("long".utf8)) == nil)
    #expect(try Picture(decoding: png) == picture)
  }
}
