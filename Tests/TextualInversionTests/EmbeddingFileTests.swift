import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing
import TextualInversion

/// A word's file, held against one that the safetensors library wrote (Tools/reference/make_safetensors.py).
@Suite struct EmbeddingFileTests {
  private let fixture = Fixtures.url("safetensors/embedding.safetensors")

  @Test func aFileOfDiffusersIsReadAndWrittenByteForByte() throws {
    let file = try EmbeddingFile(fixture)
    #expect(file.word == "<toy>" && file.rows.shape == [2, 5])
    // make_safetensors.py counts from -4 in thirds.
    for (index, value) in file.rows.values.enumerated() { #expect(abs(value - Float(index - 4) / 3) < 1e-6) }
    try TemporaryFolder.with { folder in
      let copy = folder.appendingPathComponent("copy.safetensors")
      try file.write(to: copy)
      #expect(try Data(contentsOf: copy) == Data(contentsOf: fixture))
    }
  }

  /// kohya's trainers name no word in their files; ComfyUI's name the text encoder.
  @Test(arguments: ["emb_params", "clip_l", "*"]) func theFilesNameIsTheWordWhereItNamesNone(_ key: String) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("my-toy.safetensors")
      try Safetensors.write([(key, HostTensor([2, 3], [1, 2, 3, 4, 5, 6]))], metadata: [:], to: url)
      #expect(try EmbeddingFile(url).word == "my-toy")
      #expect(try EmbeddingFile(url, word: "<a>").word == "<a>")
    }
  }

  @Test(arguments: [(Float.nan, "NaN"), (.infinity, "infinity"), (-.infinity, "infinity"), (1e28, "1e+28")])
  func numbersThatNoWordHasAreRefused(_ value: Float, _ says: String) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("toy.safetensors")
      try Safetensors.write([("<toy>", HostTensor([1, 3], [0, value, 0]))], metadata: [:], to: url)
      let error = userError { _ = try EmbeddingFile(url) }
      #expect(error?.kind == .badData && error?.message.contains("<toy>") == true)
      #expect(error?.message.contains(says) == true, "\(error?.message ?? "")")
    }
  }

  @Test func aFileOfSeveralTensorsIsNoWords() throws {
    let error = userError { _ = try EmbeddingFile(Fixtures.url("safetensors/names.safetensors")) }
    #expect(error?.kind == .badData)
  }
}
