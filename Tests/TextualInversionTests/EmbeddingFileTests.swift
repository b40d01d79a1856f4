import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing
import TextualInversion

/// A word's file, held against one that the safetensors library wrote (Tools/reference/make_safetensors.py).
@Suite struct EmbeddingFileTests {
  /// The one word of a file.
  private func word(_ url: URL, word: String? = nil) throws -> EmbeddingFile {
    let words = try EmbeddingFile.read(url, word: word)
    #expect(words.count == 1)
    return try #require(words.first)
  }

  private let fixture = Fixtures.url("safetensors/embedding.safetensors")

  @Test func aFileOfDiffusersIsReadAndWrittenByteForByte() throws {
    let file = try self.word(fixture)
    #expect(file.word == "<toy>" && file.rows[.textEncoder]?.shape == [2, 5])
    // make_safetensors.py counts from -4 in thirds.
    for (index, value) in try #require(file.rows[.textEncoder]).values.enumerated() {
      #expect(abs(value - Float(index - 4) / 3) < 1e-6)
    }
    try TemporaryFolder.with { folder in
      let copy = folder.appendingPathComponent("copy.safetensors")
      let written = try EmbeddingForm.diffusers.write([file], to: copy)
      #expect(written.losses == [] && written.files == [copy])
      #expect(try Data(contentsOf: copy) == Data(contentsOf: fixture))
    }
  }

  /// kohya's scripts name no word in their files; ComfyUI's name the text encoder.
  @Test(arguments: ["emb_params", "clip_l"]) func theFilesNameIsTheWordWhereItNamesNone(_ key: String) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("my-toy.v2.safetensors")
      try Safetensors.write([(key, HostTensor([2, 3], [1, 2, 3, 4, 5, 6]))], metadata: [:], to: url)
      #expect(try self.word(url).word == "my-toy.v2")
      #expect(try self.word(url, word: "<a>").word == "<a>")
    }
  }

  /// Files of torch.save (Tools/reference/torch_files.py), the numbers as PyTorch says them: the web UI's, the first program's,
  /// which names no word, and diffusers', whose vector has one axis.
  @Test(arguments: [
    ("webui.pt", "webui/*", "toy"), ("first.pt", "first/*", "first"),
    ("learned_embeds.bin", "learned_embeds/<toy>", "<toy>"),
  ])
  func torchFilesAreRead(_ name: String, _ key: String, _ word: String) throws {
    let expected = try SafetensorsFile(Fixtures.url("torch/expected.safetensors")).tensor(key)
    // Its content tells a file's format, and not its name.
    try TemporaryFolder.with { folder in
      for url in [Fixtures.url("torch/\(name)"), folder.appendingPathComponent("\(word).safetensors")] {
        if !FileManager.default.fileExists(atPath: url.path) {
          try FileManager.default.copyItem(at: Fixtures.url("torch/\(name)"), to: url)
        }
        let file = try self.word(url)
        #expect(file.word == word && file.rows[.textEncoder]?.values == expected.values)
        #expect(file.rows[.textEncoder]?.shape == [expected.shape.rank == 2 ? expected.shape[0] : 1, 8])
      }
    }
  }

  /// A safetensors header of 640 bytes begins with 0x80 2, as a pickle does.
  @Test func aHeadersLengthIsNoPickle() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("toy.safetensors")
      let header = Data(#"{"<toy>":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#.utf8)
      let padding = Data(repeating: UInt8(ascii: " "), count: 640 - header.count)
      try (Data([0x80, 2, 0, 0, 0, 0, 0, 0]) + header + padding + Data([0, 0, 0x80, 0x3F, 0, 0, 0, 0x40])).write(
        to: url)
      #expect(try self.word(url).rows[.textEncoder]?.values == [1, 2])
    }
  }

  @Test(arguments: ["*", "my toy", " "]) func aWordThatCannotStandInPromptsIsRenamed(_ word: String) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("a b.safetensors")
      try Safetensors.write([(word, HostTensor([1, 3], [1, 2, 3]))], metadata: [:], to: url)
      let error = userError { _ = try EmbeddingFile.read(url) }
      #expect(error?.kind == .badData)
      #expect(error?.message.contains("--embedding '\(url.path)=<toy>'") == true, "\(error?.message ?? "")")
      #expect(try self.word(url, word: "<toy>").word == "<toy>")
      let renamed = userError { _ = try EmbeddingFile.read(url, word: word) }
      #expect(renamed?.kind == .usage)
    }
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity]) func rowsThatAreNoNumbersAreRefused(_ value: Float) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("toy.safetensors")
      try Safetensors.write([("<toy>", HostTensor([1, 3], [0, value, 0]))], metadata: [:], to: url)
      let error = userError { _ = try EmbeddingFile.read(url) }
      #expect(error?.kind == .badData && error?.message.contains(url.path + ": '<toy>': holds NaN") == true)
    }
  }

  /// What lies about under the names of embeddings, and is none.
  @Test(arguments: [
    (["lora_unet_a.lora_down.weight", "b"], "a LoRA"),
    (["text_model.a.weight", "text_model.b.weight"], "a text encoder"),
    (["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.a"], "is a model,"),
    (["rows.text_encoder.<toy>"], "a checkpoint of a training run"), (["emb_params", "<toy>"], "several conventions"),
    (["clip_l", "emb_params"], "another tensor has as well"), ([], "holds no tensors"),
  ])
  func otherFilesAreNamed(_ names: [String], _ says: String) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("toy.safetensors")
      try Safetensors.write(names.map { ($0, HostTensor([1, 2], [1, 2])) }, metadata: [:], to: url)
      let error = userError { _ = try EmbeddingFile.read(url) }
      #expect(error?.kind == .badData && error?.message.contains(says) == true, "\(error?.message ?? "")")
    }
  }

  /// A state dictionary, and a pickle that wants to run something.
  @Test(arguments: [("state.pt", "not the rows of a word"), ("hostile-system.pt", "posix.system")])
  func otherTorchFilesAreRefused(_ name: String, _ says: String) throws {
    let error = userError { _ = try EmbeddingFile.read(Fixtures.url("torch/\(name)")) }
    #expect(error?.kind == .badData && error?.message.contains(says) == true, "\(error?.message ?? "")")
  }
}
