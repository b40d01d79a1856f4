import Foundation
import Images
import ModelFiles
import Tensors
import TestSupport
import Testing

@testable import TextualInversion

/// Files of every form, as the other tools' own means made them (Tools/reference/embedding_files.py): the numbers are PyTorch's.
@Suite struct EmbeddingFormTests {
  private static func url(_ name: String) -> URL { Fixtures.url("embeddings/\(name)") }

  /// By file and word, the rows by the key that files have for an encoder.
  static let expected: [String: [String: [String: HostTensor]]] = {
    guard let file = try? SafetensorsFile(url("expected.safetensors")) else { return [:] }
    var result: [String: [String: [String: HostTensor]]] = [:]
    for name in file.names {
      let parts = name.split(separator: "/").map(String.init)
      result[parts[0], default: [:]][parts[1], default: [:]][parts[2]] = try? file.tensor(name)
    }
    return result
  }()

  static func rows(_ word: EmbeddingFile) -> [String: HostTensor] {
    Dictionary(uniqueKeysWithValues: word.rows.map { ($0.key.embeddingKey, $0.value) })
  }

  @Test(arguments: [
    ("diffusers.safetensors", EmbeddingForm.diffusers), ("diffusers.bin", .diffusersPickle),
    ("flat.bin", .diffusersPickle), ("several.safetensors", .diffusers), ("learned_embeds.safetensors", .diffusers),
    ("xl.bin", .diffusersPickle), ("webui.pt", .webUI), ("webui-half.pt", .webUI), ("webui-grad.pt", .webUI),
    ("webui-legacy.pt", .webUI), ("first.pt", .webUI), ("first-bf16.pt", .webUI), ("card-text.png", .webUICard),
    ("card-ztxt.png", .webUICard), ("card-itxt.png", .webUICard), ("card-pixels.png", .webUICard),
    ("kohya.safetensors", .kohya), ("onetrainer.safetensors", .oneTrainer), ("double.safetensors", .kohya),
    ("sdxl.safetensors", .encoders), ("sd3.safetensors", .encoders), ("flux.safetensors", .encoders),
    ("bundle.safetensors", .bundle),
  ])
  func everyFormIsRead(_ name: String, _ form: EmbeddingForm) throws {
    let contents = try EmbeddingContents(Self.url(name))
    #expect(contents.form == form)
    let expected = try #require(Self.expected[name])
    #expect(Set(contents.words.map(\.word)) == Set(expected.keys))
    for word in contents.words { #expect(Self.rows(word) == expected[word.word], "\(word.word)") }
    #expect(
      contents.notes.isEmpty == !["double.safetensors", "bundle.safetensors"].contains(name), "\(contents.notes)")
    if form == .webUICard || name.hasPrefix("webui") {
      #expect(contents.metadata == ["step": "500", "sd_checkpoint": "81761151", "sd_checkpoint_name": "v1-5"])
    }
  }

  @Test func allFixturesAreTold() { #expect(Self.expected.count == 23) }

  /// Either file of a pair names both; one alone, or beside another's, is itself.
  @Test func pairsAreJoined() throws {
    for names in [["learned_embeds.safetensors", "learned_embeds_2.safetensors"], ["xl.bin", "xl_2.bin"]] {
      for name in names {
        let contents = try EmbeddingContents(Self.url(name))
        #expect(contents.files.map(\.lastPathComponent) == names && contents.words.first?.rows.count == 2)
      }
    }
    try TemporaryFolder.with { folder in
      func write(_ name: String, _ word: String, width: Int) throws -> URL {
        let file = folder.appendingPathComponent(name)
        try Safetensors.write([(word, HostTensor(repeating: 0.5, [1, width]))], to: file)
        return file
      }
      let second = try write("learned_embeds_2.safetensors", "<a>", width: 8)
      #expect(try EmbeddingContents(second).words.first?.rows.keys.first == .textEncoder2)
      let big = try write("big.safetensors", "<a>", width: 1280)
      #expect(try EmbeddingContents(big).words.first?.rows.keys.first == .textEncoder2)
      let first = try write("toy.safetensors", "<a>", width: 8)
      _ = try write("toy_2.safetensors", "<a>", width: 8)
      #expect(try EmbeddingContents(first).files == [first])
      _ = try write("toy_2.safetensors", "<b>", width: 12)
      #expect(try EmbeddingContents(first).files == [first])
      try Safetensors.write(
        [("<a>", HostTensor(repeating: 0.5, [2, 12]))], to: folder.appendingPathComponent("toy_2.safetensors"))
      let alone = try EmbeddingContents(first)
      #expect(alone.files == [first] && alone.notes.first?.contains("1 rows for the first text encoder and 2") == true)
    }
  }

  @Test(arguments: [
    ("outputs.safetensors", "'emp_params_out': holds what a text encoder puts out"),
    ("outputs-xl.safetensors", "_out': holds what a text encoder puts out"), ("nan.safetensors", "holds NaN"),
    ("cube.safetensors", "[2, 2, 8], not the rows of a word"), ("integers.safetensors", "floats are needed"),
    ("lora.safetensors", "is a LoRA"), ("unequal.safetensors", "3 rows for the first text encoder and 2"),
    ("plain.png", "carries no word"),
  ])
  func whatIsNoWordIsRefused(_ name: String, _ says: String) {
    let error = userError { _ = try EmbeddingFile.read(Self.url(name)) }
    #expect(error?.kind == .badData && error?.message.contains(says) == true, "\(error?.message ?? "")")
    #expect(error?.message.hasPrefix(Self.url(name).path) == true, "\(error?.message ?? "")")
  }

  /// Rows under a key whose width is another encoder's.
  @Test(arguments: [("clip_l", 1280), ("clip_g", 768), ("t5xxl", 1024)]) func widthsOfOthersAreRefused(
    _ key: String, _ width: Int
  ) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("toy.safetensors")
      try Safetensors.write([(key, HostTensor(repeating: 1, [1, width]))], to: url)
      let error = userError { _ = try EmbeddingFile.read(url) }
      #expect(error?.message.contains("a width of \(width) is that of") == true, "\(error?.message ?? "")")
    }
  }

  /// From every form to every form and on to every other: rows, and word and metadata where both have room for them.
  @Test func everyPairOfFormsKeepsWhatBothHold() throws {
    let encoders: [[Component: Int]] = [
      [.textEncoder: 768], [.textEncoder: 1024], [.textEncoder: 768, .textEncoder2: 1280],
      [.textEncoder: 768, .textEncoder2: 1280, .textEncoder3: 4096],
    ]
    let metadata = ["step": "12", "sd_checkpoint": "0123456789", "sd_checkpoint_name": "mödel \"x\""]
    var pairs = 0
    for widths in encoders {
      let rows = widths.mapValues { width in
        HostTensor([2, width], Philox(seed: 5, stream: UInt32(width)).normals(2 * width))
      }
      let word = EmbeddingFile(word: "<tøy \"1\">", rows: rows)
      let fitting = EmbeddingForm.written.filter { form in
        Set(form.components).isSuperset(of: rows.keys) && (form != .encoders || rows.count > 1)
      }
      for first in fitting {
        for second in fitting {
          try TemporaryFolder.with { folder in
            let a = folder.appendingPathComponent("a.\(first.fileEnding)")
            let b = folder.appendingPathComponent("b.\(second.fileEnding)")
            #expect(try first.write([word], metadata: metadata, to: a).files.first == a)
            let between = try EmbeddingContents(a)
            #expect(between.form == first && between.words.map(\.rows) == [rows])
            #expect(between.words.first?.word == (first.namesWord ? word.word : "a"))
            _ = try second.write(between.words, metadata: between.metadata, to: b)
            let end = try EmbeddingContents(b)
            #expect(end.form == second && end.words.map(\.rows) == [rows])
            #expect(end.words.first?.word == (second.namesWord ? first.namesWord ? word.word : "a" : "b"))
            if first != .diffusersPickle, second != .diffusersPickle {
              #expect(end.metadata.filter { metadata.keys.contains($0.key) } == metadata)
            }
          }
          pairs += 1
        }
      }
    }
    #expect(pairs == 6 * 6 * 2 + 3 * 3 + 1)
  }

  @Test func whatAFormCannotHoldIsRefused() throws {
    let rows = HostTensor([1, 8], Array(repeating: 1, count: 8))
    let (one, two) = (
      EmbeddingFile(word: "<a>", rows: [.textEncoder: rows]), EmbeddingFile(word: "<b>", rows: [.textEncoder: rows])
    )
    let both = EmbeddingFile(word: "<a>", rows: [.textEncoder: rows, .textEncoder2: rows])
    let large = EmbeddingFile(word: "<a>", rows: [.textEncoder: rows, .textEncoder3: rows])
    let second = EmbeddingFile(word: "<a>", rows: [.textEncoder2: rows])
    let cases: [(EmbeddingForm, [EmbeddingFile], String)] = [
      (.webUI, [one, two], "holds one word, these are 2: <a> <b>"), (.kohya, [both], "SDXL's second text encoder"),
      (.webUICard, [both], "--format diffusers or diffusers-bin or sdxl"), (.diffusers, [large], "T5"),
      (.encoders, [one], "--format kohya"), (.kohya, [], "no word"), (.webUI, [second], "SDXL's second text encoder"),
      (.diffusers, [one, one], "called the same"), (.bundle, [one], "not written into a LoRA"),
      (
        .kohya, [EmbeddingFile(word: "<a>", rows: [.textEncoder: HostTensor([1, 2], [0, .nan])])], "not rows of numbers"
      ),
      (.kohya, [EmbeddingFile(word: "<a>", rows: [.textEncoder: HostTensor([8], rows.values)])], "not rows of numbers"),
    ]
    for (form, words, says) in cases {
      try TemporaryFolder.with { folder in
        let error = userError { _ = try form.write(words, to: folder.appendingPathComponent("x")) }
        #expect(error?.message.contains(says) == true, "\(form): \(error?.message ?? "nothing")")
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(left.isEmpty)
      }
    }
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("x.bin")
      let losses = try EmbeddingForm.diffusersPickle.write([one, two], metadata: ["a": "b"], to: file).losses
      #expect(
        losses.count == 2 && losses[0].contains("1 entries of the metadata (a)") && losses[1].contains("one a file"))
      // A pair that is no longer one.
      _ = try EmbeddingForm.diffusersPickle.write([both], to: file)
      let stale = try EmbeddingForm.diffusersPickle.write([one], to: file)
      #expect(stale.files == [file] && stale.losses.count == 1 && stale.losses[0].contains("x_2.bin: stands beside it"))
    }
  }

  @Test func aFolderIsReadWhole() throws {
    var warnings: [String] = []
    let words = try EmbeddingFile.read(Self.url("")) { warnings.append($0) }
    #expect(words.map(\.word) == ["<xl>"] && warnings.isEmpty, "\(warnings)")
    try TemporaryFolder.with { folder in
      for name in [
        "kohya.safetensors", "webui.pt", "xl.bin", "xl_2.bin", "plain.png", "card-text.png", "lora.safetensors",
      ] {
        try FileManager.default.copyItem(at: Self.url(name), to: folder.appendingPathComponent(name))
      }
      try Data("x".utf8).write(to: folder.appendingPathComponent("notes.txt"))
      let words = try EmbeddingFile.read(folder) { warnings.append($0) }
      #expect(words.map(\.word) == ["card", "kohya", "toy", "<xl>"])
      #expect(warnings.count == 1 && warnings.first?.contains("lora.safetensors") == true, "\(warnings)")
      let error = userError { _ = try EmbeddingFile.read(folder, word: "<a>") }
      #expect(error?.kind == .usage && error?.message.contains("4 words") == true)
    }
    try TemporaryFolder.with { folder in
      let error = userError { _ = try EmbeddingFile.read(folder) }
      #expect(error?.kind == .noInput && error?.message.contains("without learned words") == true)
    }
  }
}
