import Foundation
import Tensors
import Testing

@testable import StableDiffusion

/// The tokenizer against transformers' `CLIPTokenizer`, by texts and numbers that Tools/reference/tokenizer.py wrote
/// down.
@Suite struct TokenizerTests {
  struct Reference: Decodable {
    struct Case: Decodable {
      let tokenizer: String
      let added: [String]
      let text: String
      let ids: [Int32]
    }
    /// A text with words of several rows.
    struct Rows: Decodable {
      let text: String
      let ids: [Int32]
    }
    let cases: [Case]
    let words: [String: Int]
    let rows: [Rows]

    static func read() throws -> Reference {
      let file = TokenizerTests.tests.appendingPathComponent("Fixtures/tokenizer.json")
      return try JSONDecoder().decode(Reference.self, from: Data(contentsOf: file))
    }
  }

  static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  static let demoFolder = tests.deletingLastPathComponent()
    .appendingPathComponent("Sources/DemoModel/Resources/model/tokenizer")
  static let mergesFile = tests.deletingLastPathComponent().appendingPathComponent("Sources/CLIPVocabulary/merges.txt")

  /// CLIP's files as Stable Diffusion 2 has them, in a folder of their own: padded with `!`.
  static func clip2(in folder: URL) throws -> CLIPTokenizer {
    let merges = try TokenizerFiles.merges(String(contentsOf: mergesFile, encoding: .utf8), at: [])
    try JSONEncoder().encode(BytePairEncoding.vocabulary(merges: merges))
      .write(to: folder.appendingPathComponent("vocab.json"))
    try FileManager.default.copyItem(at: mergesFile, to: folder.appendingPathComponent("merges.txt"))
    try Data(#"{"pad_token": "<|endoftext|>"}"#.utf8).write(to: folder.appendingPathComponent("tokenizer_config.json"))
    try Data(#"{"pad_token": {"content": "!", "normalized": false}}"#.utf8)
      .write(to: folder.appendingPathComponent("special_tokens_map.json"))
    return try CLIPTokenizer(folder: folder)
  }

  @Test(arguments: ["demo", "clip", "clip2", "clip2 in files"])
  func textsBecomeTheNumbersThatTransformersGives(_ name: String) throws {
    let cases = try Reference.read().cases.filter { $0.tokenizer == name.prefix { $0 != " " } }
    #expect(cases.count > 30)
    let folder = try Scratch()
    let tokenizer =
      switch name {
      case "demo": try CLIPTokenizer(folder: TokenizerTests.demoFolder)
      case "clip": try CLIPTokenizer.builtIn()
      case "clip2": try CLIPTokenizer.builtIn(padding: .exclamationMark)
      default: try TokenizerTests.clip2(in: folder.url)
      }
    var extended: [[String]: CLIPTokenizer] = [:]
    for example in cases {
      let tokenizer =
        try extended[example.added] ?? example.added.reduce(tokenizer) { try $0.adding($1, shadowing: true) }
      extended[example.added] = tokenizer
      let ids = tokenizer.encode(example.text).ids
      #expect(ids == example.ids, "\(name): \(example.text.debugDescription)")
    }
  }

  @Test func theBuiltInVocabularyIsClips() throws {
    let clip = try CLIPTokenizer.builtIn()
    #expect(clip.vocabularySize == 49_408)
    // Numbers that every Stable Diffusion tool has in common.
    #expect(clip.startToken == 49_406 && clip.endToken == 49_407 && clip.padToken == 49_407)
    #expect(clip.tokens("a photo of a cat") == [320, 1125, 539, 320, 2368])
  }

  @Test func combinedFileAndSeparateFilesAreOneTokenizer() throws {
    let folder = try Scratch()
    let combined = folder.url.appendingPathComponent("tokenizer.json")
    try FileManager.default.copyItem(
      at: TokenizerTests.demoFolder.appendingPathComponent("tokenizer.json"), to: combined)
    let tokenizer = try CLIPTokenizer(folder: folder.url)
    let separate = try CLIPTokenizer(folder: TokenizerTests.demoFolder)
    #expect(tokenizer.vocabularySize == separate.vocabularySize)
    let text = "a checkered purple and yellow rocket on a orange background, it's outlined! <|endoftext|> 42"
    #expect(tokenizer.encode(text) == separate.encode(text))

    // Merges written as texts with a space, as older files have them.
    var document = try #require(
      JSONSerialization.jsonObject(with: Data(contentsOf: combined)) as? [String: Any])
    var model = try #require(document["model"] as? [String: Any])
    let pairs = try #require(model["merges"] as? [[String]])
    model["merges"] = pairs.map { $0.joined(separator: " ") }
    document["model"] = model
    try JSONSerialization.data(withJSONObject: document).write(to: combined)
    #expect(try CLIPTokenizer(folder: folder.url).encode(text) == separate.encode(text))
  }

  @Test func addedWordsAreNumberedInOrderAndRefusedTwice() throws {
    let demo = try CLIPTokenizer(folder: TokenizerTests.demoFolder)
    let tokenizer = try demo.adding("<toy>", vectors: 2)
    #expect(tokenizer.vocabularySize == demo.vocabularySize + 2)
    for word in ["<toy>", "<TOY>", "<toy>_1", "cat", "a", "<|endoftext|>", "", "  "] {
      let error = #expect(throws: UserError.self) { try tokenizer.adding(word) }
      #expect(error?.kind == .badData, "\(word)")
      #expect(error?.message.contains("\n") == false)
    }
    // A row's name may be taken, too; and one that is there would be read as a row of the new word.
    let taken = try demo.adding("<x>_1")
    #expect(throws: UserError.self) { try taken.adding("<x>", vectors: 2) }
    #expect(throws: UserError.self) { try taken.adding("<x>") }
    // A word without rows is read as nothing.
    #expect(try demo.adding("<x>", vectors: 0).tokens("a <x> cat") == demo.tokens("a cat"))
    for vectors in [-1, Int.max] { #expect(throws: UserError.self) { try demo.adding("<x>", vectors: vectors) } }
    // What stands on its own gives no name to suggest.
    let suggestion = #expect(throws: UserError.self) { try demo.adding("!") }
    #expect(suggestion?.message.contains("such as") == false)
    // A word the vocabulary spells as one piece can be taken over, but only on purpose.
    // A word that is there as well, or one without letters, is no help.
    let both = try demo.adding("<my-cat>").adding("<--->")
    for (word, other) in [("cat", "<cat-2>"), ("<my-cat>", "<cat-2>"), ("<--->", nil), ("!", nil)] {
      let error = #expect(throws: UserError.self) { try both.adding(word) }
      #expect(error?.message.contains(", such as") == (other != nil), "\(word): \(error?.message ?? "")")
      if let other { #expect(error?.message.contains("such as \(other)") == true, "\(word): \(error?.message ?? "")") }
    }
    #expect(try demo.adding("cat", shadowing: true).tokens("a cat") == [320, Int32(demo.vocabularySize)])
    #expect(throws: UserError.self) { try demo.adding("a", shadowing: true) }
  }

  /// As diffusers writes them out, whether the words were added now or are in the model's own tokenizer.
  @Test(arguments: [false, true]) func aWordOfSeveralRowsIsAllOfThem(inFolder: Bool) throws {
    let reference = try Reference.read()
    let demo = try CLIPTokenizer(folder: TokenizerTests.demoFolder)
    // In the order in which the reference numbers them.
    let words = ["<old>", "<new>", "sks"].map { ($0, reference.words[$0] ?? 0) }
    let tokenizer: CLIPTokenizer
    let folder = try Scratch()
    if inFolder {
      for name in ["vocab.json", "merges.txt"] {
        try FileManager.default.copyItem(
          at: TokenizerTests.demoFolder.appendingPathComponent(name), to: folder.url.appendingPathComponent(name))
      }
      let names = words.flatMap { CLIPTokenizer.names(of: $0.0, vectors: $0.1) }
      let added = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, demo.vocabularySize + $0) })
      try JSONEncoder().encode(added).write(to: folder.url.appendingPathComponent("added_tokens.json"))
      tokenizer = try CLIPTokenizer(folder: folder.url)
    } else {
      tokenizer = try words.reduce(demo) { try $0.adding($1.0, vectors: $1.1) }
    }
    #expect(reference.rows.count > 10)
    for example in reference.rows {
      #expect(tokenizer.encode(example.text).ids == example.ids, "\(example.text.debugDescription)")
    }
    // Written out beside the bare word, rows are only themselves.
    let first = Int32(demo.vocabularySize)
    #expect(tokenizer.tokens("<old>_1 <old>") == [first + 1, first, first + 1, first + 2])
  }

  @Test func whatIsCutIsNamed() throws {
    let demo = try CLIPTokenizer(folder: TokenizerTests.demoFolder)
    #expect(demo.encode("a cat").truncated == nil)
    let short = demo.encode("a cat on a table, it's red", length: 5)
    #expect(short.ids.count == 5 && short.ids.first == demo.startToken && short.ids.last == demo.endToken)
    #expect(short.truncated == "a table, it's red")
    // A word of which a part fits is named whole.
    let pieces = demo.tokens("mushroommushroom")
    #expect(pieces.count > 1)
    #expect(demo.encode("mushroommushroom", length: 3).truncated == "mushroommushroom")
    #expect(demo.encode("mushroommushroom", length: 3).ids[1] == pieces[0])
  }

  /// As transformers 5.24 does: `tokenizer.json` stands in for merges that are damaged. Alone they are refused.
  @Test(arguments: ["", "#version: 0.2\n", "#version: 0.2\ni n\n"]) func mergesThatLackTheVocabularysAreNotTaken(
    _ merges: String
  )
    throws
  {
    let folder = try Scratch()
    for name in ["vocab.json", "tokenizer_config.json"] {
      try FileManager.default.copyItem(
        at: TokenizerTests.demoFolder.appendingPathComponent(name), to: folder.url.appendingPathComponent(name))
    }
    try Data(merges.utf8).write(to: folder.url.appendingPathComponent("merges.txt"))
    let error = #expect(throws: UserError.self) { try CLIPTokenizer(folder: folder.url) }
    #expect(error?.kind == .badData && error?.message.contains("merges.txt") == true)
    try FileManager.default.copyItem(
      at: TokenizerTests.demoFolder.appendingPathComponent("tokenizer.json"),
      to: folder.url.appendingPathComponent("tokenizer.json"))
    #expect(try CLIPTokenizer(folder: folder.url).tokens("a striped mushroom cat") == [320, 734, 729, 672])
  }

  /// transformers 5.24 reads `tokenizer.json` whatever lies beside it. Where that is no tokenizer and the other files are, it
  /// gives up; here they are read. Never are other tokens made without a line.
  @Test(arguments: [
    ("merges.txt cut", "disagree"), ("merges.txt reversed", "disagree"), ("merges.txt empty", "is read in their place"),
    ("merges.txt odd", "is read in their place"), ("vocab.json empty", "is read in their place"),
    ("tokenizer.json empty", "are read in its place"), ("tokenizer.json without merges", "are read in its place"),
    ("tokenizer.json a page", "are read in its place"),
  ])
  func oneSoundTokenizerIsEnough(_ damage: String, _ says: String) throws {
    let folder = try Scratch()
    for name in ["vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.copyItem(
        at: TokenizerTests.demoFolder.appendingPathComponent(name), to: folder.url.appendingPathComponent(name))
    }
    func write(_ text: String, _ name: String) throws {
      try Data(text.utf8).write(to: folder.url.appendingPathComponent(name))
    }
    let merges = try String(
      contentsOf: TokenizerTests.demoFolder.appendingPathComponent("merges.txt"), encoding: .utf8
    ).split(separator: "\n").map { String($0) }
    switch damage {
    case "merges.txt cut": try write(merges.dropLast(10).joined(separator: "\n"), "merges.txt")
    case "merges.txt reversed": try write(merges.reversed().joined(separator: "\n"), "merges.txt")
    case "merges.txt empty": try write("", "merges.txt")
    case "merges.txt odd": try write((merges + ["one two three"]).joined(separator: "\n"), "merges.txt")
    case "vocab.json empty": try write("", "vocab.json")
    case "tokenizer.json empty": try write("", "tokenizer.json")
    case "tokenizer.json a page": try write("<!DOCTYPE html>", "tokenizer.json")
    default:
      let file = folder.url.appendingPathComponent("tokenizer.json")
      var object = try #require(JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
      var model = try #require(object["model"] as? [String: Any])
      model["merges"] = [String]()
      object["model"] = model
      try JSONSerialization.data(withJSONObject: object).write(to: file)
    }
    var warnings: [String] = []
    let tokenizer = try CLIPTokenizer(folder: folder.url, warn: { warnings.append($0) })
    #expect(warnings.count == 1 && warnings[0].contains(says), "\(warnings)")
    // The sound tokenizer's own tokens are held against transformers' above.
    let sound = try CLIPTokenizer(folder: TokenizerTests.demoFolder)
    for text in [
      "a striped mushroom cat", "a checkered purple rocket on an orange background, outlined", "Überraschung 42!",
    ] {
      #expect(tokenizer.encode(text) == sound.encode(text), "\(text)")
    }
  }

  /// Files that are all there is: a table that lacks a few merges is said, one that lacks many refused.
  @Test(arguments: ["merges.txt", "tokenizer.json"]) func cutTablesAreSaidOrRefused(_ name: String) throws {
    func open(without count: Int, _ warn: (String) -> Void) throws -> CLIPTokenizer {
      let folder = try Scratch()
      func copy(_ name: String) throws {
        try FileManager.default.copyItem(
          at: TokenizerTests.demoFolder.appendingPathComponent(name), to: folder.url.appendingPathComponent(name))
      }
      let file = folder.url.appendingPathComponent(name)
      try copy(name)
      if name == "merges.txt" {
        try copy("vocab.json")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
        try Data(lines.dropLast(count).joined(separator: "\n").utf8).write(to: file)
      } else {
        var object = try #require(JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
        var model = try #require(object["model"] as? [String: Any])
        model["merges"] = (model["merges"] as? [Any]).map { Array($0.dropLast(count)) }
        object["model"] = model
        try JSONSerialization.data(withJSONObject: object).write(to: file)
      }
      return try CLIPTokenizer(folder: folder.url, warn: warn)
    }
    var warnings: [String] = []
    _ = try open(without: 0, { warnings.append($0) })
    #expect(warnings.isEmpty)
    _ = try open(without: 10, { warnings.append($0) })
    #expect(warnings.count == 1 && warnings[0].contains("no merge makes 10 pieces"), "\(warnings)")
    let error = #expect(throws: UserError.self) { _ = try open(without: 120, { _ in }) }
    #expect(error?.kind == .badData && error?.message.contains(name) == true)
  }

  /// transformers pads and cuts to `model_max_length`; the number that stands for none, and one beyond the text encoder's
  /// positions, leave its positions.
  @Test(arguments: [("40", 40), ("77", 77), ("1000000000000000019884624838656", 77), ("128", 77), ("null", 77)])
  func promptsAreAsLongAsTheirFilesSay(_ value: String, _ length: Int) throws {
    let folder = try Scratch()
    for name in ["vocab.json", "merges.txt"] {
      try FileManager.default.copyItem(
        at: TokenizerTests.demoFolder.appendingPathComponent(name), to: folder.url.appendingPathComponent(name))
    }
    let file = folder.url.appendingPathComponent("tokenizer_config.json")
    try Data("{\"model_max_length\": \(value)}".utf8).write(to: file)
    let tokenizer = try CLIPTokenizer(folder: folder.url).fitting(positions: 77)
    #expect(tokenizer.promptLength == length)
    #expect(tokenizer.encode("a cat").ids.count == length)
    #expect(tokenizer.fitting(positions: 20).promptLength == 20)
    try Data(#"{"model_max_length": 2}"#.utf8).write(to: file)
    let error = #expect(throws: UserError.self) { try CLIPTokenizer(folder: folder.url) }
    #expect(error?.kind == .badData && error?.message.contains("model_max_length") == true)
  }

  @Test func badFilesAreOneClearLine() throws {
    let missing = #expect(throws: UserError.self) {
      try CLIPTokenizer(folder: URL(fileURLWithPath: "/nowhere/tokenizer"))
    }
    #expect(missing?.kind == .noInput)
    let merges = "#version: 0.2\nc a\n"
    let vocabulary = #"{"c": 0, "a": 1, "ca": 2, "<|startoftext|>": 3, "<|endoftext|>": 4}"#
    let cases: [(vocabulary: String, merges: String, says: String)] = [
      ("{", merges, "vocab.json"), ("[]", merges, "vocab.json"), (#"{"a": "b"}"#, merges, "vocab.json"),
      (vocabulary, "#version: 0.2\nc\n", "line 2"), (vocabulary, "#version: 0.2\nc a\na c\n", "merge 2"),
      (#"{"c": 0, "a": 1, "ca": 2}"#, merges, "end token"),
      (vocabulary.replacingOccurrences(of: "4", with: "7"), merges, "0 to 4"),
      (vocabulary.replacingOccurrences(of: "4", with: "3"), merges, "each once"),
    ]
    for (vocabulary, merges, says) in cases {
      let folder = try Scratch()
      try Data(vocabulary.utf8).write(to: folder.url.appendingPathComponent("vocab.json"))
      try Data(merges.utf8).write(to: folder.url.appendingPathComponent("merges.txt"))
      let error = #expect(throws: UserError.self) { try CLIPTokenizer(folder: folder.url) }
      #expect(error?.kind == .badData && error?.message.contains("\n") == false)
      #expect(error?.message.contains(says) == true, "\(error?.message ?? "") lacks \(says)")
    }
    let folder = try Scratch()
    try Data(vocabulary.utf8).write(to: folder.url.appendingPathComponent("vocab.json"))
    let half = #expect(throws: UserError.self) { try CLIPTokenizer(folder: folder.url) }
    #expect(half?.kind == .noInput && half?.message.contains("merges.txt") == true)
  }
}

/// A folder that goes when its test does.
final class Scratch {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent("ti-gpu-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }
}
