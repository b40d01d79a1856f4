import Foundation
import Images
import Tensors
import TestSupport
import Testing

@Suite struct PictureFolderTests {
  private func copy(_ name: String, to folder: URL, as copy: String) throws {
    try FileManager.default.copyItem(at: Pictures.url(name), to: folder.appendingPathComponent(copy))
  }

  @Test func readsByContentAndSortsByName() throws {
    try TemporaryFolder.with { folder in
      try copy("rgb.png", to: folder, as: "b.jpg")
      try copy("rgb.jpg", to: folder, as: "a")
      try copy("lossless.webp", to: folder, as: "C.WEBP")
      let read = try PictureFolder(folder)
      #expect(read.pictures.map(\.url.lastPathComponent) == ["C.WEBP", "a", "b.jpg"])
      #expect(try read.pictures[2].value == Pictures.expected("rgb.png"))
      #expect(read.skipped.isEmpty)
      #expect(try PictureFolder(folder) { $1.picture.width }.pictures.map(\.value) == [23, 23, 23])
    }
  }

  @Test func saysWhatItPassesOver() throws {
    try TemporaryFolder.with { folder in
      try copy("rgb.png", to: folder, as: "1.png")
      try Data("{}".utf8).write(to: folder.appendingPathComponent("concept.json"))
      try Data().write(to: folder.appendingPathComponent(".DS_Store"))
      try Pictures.data("rgb.jpg").prefix(300).write(to: folder.appendingPathComponent("2.jpg"))
      try FileManager.default.createDirectory(
        at: folder.appendingPathComponent("more"), withIntermediateDirectories: true)
      try FileManager.default.createSymbolicLink(
        at: folder.appendingPathComponent("lost.png"), withDestinationURL: folder.appendingPathComponent("gone"))
      try #require(mkfifo(folder.appendingPathComponent("pipe.png").path, 0o600) == 0)
      let read = try PictureFolder(folder)
      #expect(read.pictures.count == 1)
      #expect(read.skipped.map(\.name) == [".DS_Store", "2.jpg", "concept.json", "lost.png", "more", "pipe.png"])
      #expect(read.skipped[0].reason == "hidden" && read.skipped[4].reason == "a folder")
      #expect(read.skipped[2].reason == "not a PNG, JPEG or WebP picture")
      #expect(read.skipped[3].reason.hasPrefix("a link to "))
      // No reason repeats the path; that of a link's target is not the file's own.
      #expect(
        read.skipped.allSatisfy {
          !$0.reason.isEmpty && !$0.reason.contains("\n") && ($0.name == "lost.png" || !$0.reason.contains("/"))
        })
    }
  }

  @Test func tellsNoFolderFromNoPictureFromNoneThatCanBeRead() throws {
    try TemporaryFolder.with { folder in
      #expect(userError { _ = try PictureFolder(folder.appendingPathComponent("nowhere")) }?.kind == .noInput)
      #expect(userError { _ = try PictureFolder(Pictures.url("rgb.png")) }?.kind == .noInput)
      #expect(userError { _ = try PictureFolder(folder) }?.kind == .noInput)
      try Data("notes".utf8).write(to: folder.appendingPathComponent("notes.txt"))
      #expect(userError { _ = try PictureFolder(folder) }?.kind == .noInput)
      try copy("rgb.png", to: folder, as: ".hidden.png")
      #expect(userError { _ = try PictureFolder(folder) }?.kind == .noInput)
      try Pictures.data("rgb.jpg").prefix(300).write(to: folder.appendingPathComponent("cut"))
      #expect(userError { _ = try PictureFolder(folder) }?.kind == .badData)
      try FileManager.default.removeItem(at: folder.appendingPathComponent("cut"))
      try Data().write(to: folder.appendingPathComponent("empty.png"))
      let unreadable = userError { _ = try PictureFolder(folder) }
      #expect(unreadable?.kind == .badData)
      #expect(unreadable?.message.contains("empty.png") == true)
    }
  }

  @Test func namesFoldersThatHoldThePictures() throws {
    try TemporaryFolder.with { folder in
      let inner = folder.appendingPathComponent("toys")
      try FileManager.default.createDirectory(at: inner, withIntermediateDirectories: true)
      try copy("rgb.png", to: inner, as: "a.png")
      try copy("rgb.jpg", to: inner, as: "b.JPG")
      let error = userError { _ = try PictureFolder(folder) }
      #expect(error?.kind == .noInput && error?.message.contains("'toys' (2)") == true)
      try copy("rgb.png", to: folder, as: "c.png")
      #expect(try PictureFolder(folder).skipped.map(\.name) == ["toys"])
    }
  }

  /// kohya's trainers take such folders: a number of repeats, `_`, a word.
  @Test func readsFoldersWithRepeats() throws {
    try TemporaryFolder.with { folder in
      func make(_ path: String, _ pictures: [String]) throws {
        let inner = folder.appendingPathComponent(path)
        try FileManager.default.createDirectory(at: inner, withIntermediateDirectories: true)
        for name in pictures { try copy("rgb.png", to: inner, as: name) }
      }
      try make("10_toy", ["a.png", "b.png"])
      try Data("on a beach".utf8).write(to: folder.appendingPathComponent("10_toy/b.txt"))
      try Data("{}".utf8).write(to: folder.appendingPathComponent("10_toy/c.json"))
      try make("10_toy/3_more", ["no.png"])
      try make("2_my cat", ["a.png"])
      try make("0_old", ["a.png"])
      try make("99999999999999999999_x", ["a.png"])
      try make("5_empty", [])
      try make("x_1", ["a.png"])
      let inner = try PictureFolder(folder)
      #expect(inner.pictures.map(\.path) == ["10_toy/a.png", "10_toy/b.png", "2_my cat/a.png"])
      #expect(inner.pictures.map(\.repeats) == [10, 10, 2])
      #expect(inner.captions.map { $0?.lastPathComponent } == [nil, "b.txt", nil])
      #expect(
        inner.skipped.map(\.name) == [
          "0_old", "10_toy/3_more", "10_toy/c.json", "5_empty", "99999999999999999999_x", "x_1",
        ])
      try make("", ["z.png"])
      let both = try PictureFolder(folder)
      #expect(both.pictures.map(\.path) == ["z.png"] + inner.pictures.map(\.path))
      #expect(both.pictures.map(\.repeats) == [1, 10, 10, 2])
      #expect(both.captions.count == 4 && both.captions[2] != nil)
    }
  }

  @Test func repeatsStandBeforeTheFirstLine() {
    #expect(FolderRepeats("10_toy")?.count == 10 && FolderRepeats("10_toy")?.rest == "toy")
    #expect(FolderRepeats("3_a_b c")?.rest == "a_b c")
    #expect(FolderRepeats("1000_a")?.problem == nil && FolderRepeats("1001_a")?.problem != nil)
    for name in ["toy", "_toy", "a1_toy", "10", "10-toy", "-1_toy", "+1_toy", "١_toy", ""] {
      #expect(FolderRepeats(name) == nil, "\(name)")
    }
  }

  @Test func aNameThatIsNoTextIsNotPassedOverInSilence() throws {
    try TemporaryFolder.with { folder in
      let data = try Pictures.data("rgb.png")
      let path = Array(folder.path.utf8CString.dropLast()) + [0x2F, -1, 0x61, 0]  // /\xFFa
      let file = try #require(fopen(path, "w"))
      _ = data.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
      fclose(file)
      let error = userError { _ = try PictureFolder(folder) }
      #expect(error?.kind == .badData && error?.message.contains("UTF-8") == true)
      try copy("rgb.png", to: folder, as: "é.png")
      let read = try PictureFolder(folder)
      #expect(read.pictures.map(\.url.lastPathComponent) == ["é.png"])
      #expect(read.skipped.count == 1)
    }
  }

  @Test func saysWhatLiesInAPicturesPlace() throws {
    try TemporaryFolder.with { folder in
      try Data("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".utf8).write(
        to: folder.appendingPathComponent("a.png"))
      try Data("\n<!DOCTYPE html><html></html>".utf8).write(to: folder.appendingPathComponent("b.jpg"))
      try FileManager.default.createSymbolicLink(
        atPath: folder.appendingPathComponent("c.png").path, withDestinationPath: "../blobs/c")
      try copy("rgb.png", to: folder, as: "d.png")
      let skipped = try PictureFolder(folder).skipped
      #expect(skipped.map(\.name) == ["a.png", "b.jpg", "c.png"])
      for (skipped, word) in zip(skipped, ["Git LFS", "web page", "../blobs/c"]) {
        #expect(skipped.reason.contains(word), "\(skipped)")
      }
    }
  }

  @Test func saysWhatPicturesCannotBeReadAndWhatCaptionsAre() throws {
    try TemporaryFolder.with { folder in
      try Data("\0\0\0\u{18}ftypheic".utf8).write(to: folder.appendingPathComponent("IMG_1.HEIC"))
      let error = userError { _ = try PictureFolder(folder) }
      #expect(error?.kind == .badData && error?.message.contains("IMG_1.HEIC") == true)
      #expect(error?.message.contains("save them as PNG or JPEG") == true)
      try copy("rgb.png", to: folder, as: "a.b.png")
      try copy("rgb.png", to: folder, as: "z.png")
      for name in ["a.b.caption", "a.b.txt", "a.txt", "IMG_1.caption"] {
        try Data("a toy".utf8).write(to: folder.appendingPathComponent(name))
      }
      let read = try PictureFolder(folder)
      #expect(read.captions.map { $0?.lastPathComponent } == ["a.b.txt", nil])
      #expect(read.skipped.map(\.name) == ["IMG_1.HEIC", "IMG_1.caption", "a.b.caption", "a.txt"])
      #expect(read.skipped[1].reason == "the caption of a picture that is passed over")
      #expect(read.skipped[2].reason == "a second caption of one picture")
      let lost = folder.appendingPathComponent("lost")
      try FileManager.default.createSymbolicLink(atPath: lost.path, withDestinationPath: "gone")
      #expect(userError { _ = try PictureFolder(lost) }?.message.contains("a link to gone") == true)
    }
  }

  @Test func passesOnWhatTheCallerThrows() throws {
    try TemporaryFolder.with { folder in
      try copy("rgb.png", to: folder, as: "1.png")
      let error = userError {
        _ = try PictureFolder<Int>(folder) { (_, _) throws(UserError) in throw UserError(.inputOutput, "enough") }
      }
      #expect(error?.kind == .inputOutput)
    }
  }
}
