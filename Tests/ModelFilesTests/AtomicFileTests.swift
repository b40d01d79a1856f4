import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite struct AtomicFileTests {
  private func names(_ folder: URL) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  @Test func replacesAFileAndLeavesNothingElse() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("a")
      try AtomicFile.write(Data([1]), to: url)
      try AtomicFile.write(Data([2, 3]), to: url)
      #expect(try Data(contentsOf: url) == Data([2, 3]))
      #expect(try names(folder) == ["a"])
    }
  }

  @Test func aFailureLeavesTheOldFile() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("a")
      try AtomicFile.write(Data([1]), to: url)
      let error = userError {
        try AtomicFile.write(to: url) { (sink: borrowing AtomicFile.Sink) throws(UserError) in
          try sink.write(Data([9, 9, 9]))
          throw UserError(.badData, "enough")
        }
      }
      #expect(error?.kind == .badData)
      #expect(try Data(contentsOf: url) == Data([1]))
      #expect(try names(folder) == ["a"])
    }
  }

  @Test func writesThroughALink() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("a")
      let link = folder.appendingPathComponent("link")
      try AtomicFile.write(Data([1]), to: url)
      try FileManager.default.createSymbolicLink(at: link, withDestinationURL: url)
      try AtomicFile.write(Data([2]), to: link)
      #expect(try Data(contentsOf: url) == Data([2]))
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link.path) == url.path)
    }
  }

  @Test func takesTheLongestNameThereIs() throws {
    try TemporaryFolder.with { folder in
      try AtomicFile.write(Data([1]), to: folder.appendingPathComponent(String(repeating: "x", count: 255)))
    }
  }

  @Test func saysWhatCantBeMade() throws {
    try TemporaryFolder.with { folder in
      #expect(userError { try AtomicFile.write(Data([1]), to: folder) }?.kind == .cannotCreate)
      let nowhere = folder.appendingPathComponent("no/such/file")
      #expect(userError { try AtomicFile.write(Data([1]), to: nowhere) }?.kind == .cannotCreate)
      let tooLong = folder.appendingPathComponent(String(repeating: "x", count: 256))
      #expect(userError { try AtomicFile.write(Data([1]), to: tooLong) }?.kind == .cannotCreate)
      #expect(try names(folder) == [])
      let file = folder.appendingPathComponent("a")
      try AtomicFile.write(Data([1]), to: file)
      #expect(
        userError { try AtomicFile.write(Data([1]), to: file.appendingPathComponent("b")) }?.kind == .cannotCreate)
      #expect(userError { try AtomicFile.makeFolder(file) }?.kind == .cannotCreate)
      #expect(userError { try AtomicFile.makeFolder(file.appendingPathComponent("b")) }?.kind == .cannotCreate)
      try AtomicFile.makeFolder(folder.appendingPathComponent("x/y/z"))
      try AtomicFile.makeFolder(folder.appendingPathComponent("x/y/z"))
    }
  }

  /// No process has the number 2^30 - 1: Linux counts to 2^22.
  @Test func makingAFolderTidiesUpAfterAKilledProcess() throws {
    try TemporaryFolder.with { folder in
      for name in [".ti-gpu-1073741823-1.partial", ".ti-gpu-\(getpid())-1.partial", ".ti-gpu-x-1.partial", "a"] {
        try Data().write(to: folder.appendingPathComponent(name))
      }
      try AtomicFile.makeFolder(folder)
      #expect(try names(folder) == [".ti-gpu-\(getpid())-1.partial", ".ti-gpu-x-1.partial", "a"])
    }
  }

  /// The device that is always full.
  @Test(.enabled(if: FileManager.default.fileExists(atPath: "/dev/full"))) func saysThatADiskIsFull() throws {
    let error = userError { try AtomicFile.write(Data([1]), to: URL(fileURLWithPath: "/dev/full")) }
    #expect(error?.kind == .inputOutput)
    #expect(FileManager.default.fileExists(atPath: "/dev/full"))
  }

  /// The digests that FIPS 180-2 gives for "abc" and for a million times "a".
  @Test func hashesFiles() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("a")
      try AtomicFile.write(Data("abc".utf8), to: url)
      #expect(
        try FileHash.sha256(of: url) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
      try AtomicFile.write(Data(repeating: 97, count: 1_000_000), to: url)
      #expect(
        try FileHash.sha256(of: url) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
      #expect(userError { _ = try FileHash.sha256(of: folder) }?.kind == .noInput)
    }
  }

  /// The second finds the name taken, whatever has it, and changes nothing.
  @Test func aNewFileTakesNobodysPlace() throws {
    try TemporaryFolder.with { folder in
      let (file, inner) = (folder.appendingPathComponent("a"), folder.appendingPathComponent("b"))
      #expect(try AtomicFile.writeNew(Data("first".utf8), to: file))
      #expect(try !AtomicFile.writeNew(Data("second".utf8), to: file))
      #expect(try Data(contentsOf: file) == Data("first".utf8))
      try FileManager.default.createDirectory(at: inner, withIntermediateDirectories: false)
      #expect(try !AtomicFile.writeNew(Data(), to: inner))
      let error = userError { _ = try AtomicFile.writeNew(Data(), to: folder.appendingPathComponent("none/a")) }
      #expect(error?.kind == .cannotCreate)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["a", "b"])
    }
  }
}
