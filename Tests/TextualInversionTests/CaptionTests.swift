import Foundation
import StableDiffusion
import Tensors
import Testing
import TestSupport

@testable import TextualInversion

/// What becomes of the texts beside pictures. The sentences are written out by hand from the rules that README states.
@Suite struct CaptionTests {
  private func caption(_ line: String, _ kind: ConceptKind = .object) -> Caption {
    Caption(line, word: "<toy>", initializer: "toy", kind: kind)
  }

  private func woven(_ line: String, into template: String, _ kind: ConceptKind = .object) -> String {
    let caption = caption(line, kind)
    return Sentence.weave(template, caption, details: caption.details)
  }

  @Test(arguments: [
    // What does not name the word is said behind it.
    ("on a beach, sunny", "a photo of a {} on a beach, sunny"),
    ("a beach, sunny", "a photo of a {}, a beach, sunny"),
    ("beach , , sunny,", "a photo of a {}, beach, sunny"),
    ("a photo of a beach", "a photo of a {}, a beach"),
    ("wearing a hat", "a photo of a {} wearing a hat"),
    // What does lends it what is said round it.
    ("a photo of {} on a beach, sunny", "a photo of a {} on a beach, sunny"),
    ("A close-up photo of the old <TOY>", "a photo of a old {}"),
    ("[name]", "a photo of a {}"),
    ("evening, a picture of my {} in the rain, wet", "a photo of a {} in the rain, evening, wet"),
    ("a red ball beside {}", "a photo of a red ball beside {}"),
    ("({}:1.2), sharp", "a photo of a ({}:1.2), sharp"),
    // A thing that is called by what the word starts from is the word.
    ("a Toy on a beach, toys", "a photo of a {} on a beach, toys"),
    ("two toys", "a photo of a {}, two toys"),
  ])
  func captionsAreWovenIntoTemplates(line: String, sentence: String) {
    #expect(woven(line, into: "a photo of a {}") == sentence)
  }

  /// An article goes back where a template has none, as those for somebody and for a style do.
  @Test func articlesStayWhereTheyAreNeeded() {
    #expect(woven("a red ball beside {}", into: "a portrait of {}", .subject) == "a portrait of a red ball beside {}")
    #expect(woven("the {} on a hill", into: "{}", .subject) == "the {} on a hill")
    #expect(woven("{} on a hill", into: "a portrait of {}", .subject) == "a portrait of {} on a hill")
  }

  /// A style's captions say what its pictures show, so nothing in them is the word but the word.
  @Test(arguments: [
    ("a cat on a beach", "a painting in the style of {}, a cat on a beach"),
    ("a painting of a toy", "a painting in the style of {}, a toy"),
    ("a cat in the style of <toy>, night", "a painting in the style of {}, a cat, night"),
    ("a painting by {}", "a painting in the style of {}"),
    ("on a red background", "a painting in the style of {} on a red background"),
  ])
  func aStylesCaptionsStandBeside(line: String, sentence: String) {
    #expect(woven(line, into: "a painting in the style of {}", .style) == sentence)
  }

  @Test func itIsKnownHowTheyNameTheWord() {
    let names = ["{} on a hill", "a toy", "a toyshop", "a hill, <toy>", "stoytoy"].map { caption($0).naming }
    #expect(names == [.word, .initializer, .nothing, .word, .nothing])
    #expect(Caption("asks", word: "sks", initializer: " ", kind: .object).naming == .nothing)
    #expect(Caption("a SKS dog", word: "sks", initializer: "dog", kind: .object).naming == .word)
    #expect(caption("a toy", .style).naming == .nothing)
  }

  @Test func textsAreReadInTheirEncodings() throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("1.txt")
      func lines(_ data: Data) throws -> [String] {
        try data.write(to: file)
        return try CaptionText(file).lines
      }
      let cases: [(Data, [String])] = [
        (Data("\u{FEFF}on a hill\r\n\r\n  in Köln \n".utf8), ["on a hill", "in Köln"]),
        (Data([0xFF, 0xFE, 0x61, 0, 0xE9, 0]), ["aé"]), (Data([0xFE, 0xFF, 0, 0x61, 0, 0xE9]), ["aé"]), (Data(), []),
      ]
      for (data, expected) in cases {
        let found = try lines(data)
        #expect(found == expected)
      }
      for data in [Data([0x61, 0xE9, 0x62]), Data([0x61, 0, 0x62]), Data(repeating: 0x61, count: 1 << 16 + 1)] {
        #expect(userError { _ = try lines(data) }?.kind == .badData)
      }
    }
  }

  /// As AUTOMATIC1111 takes them apart, but for the underscores.
  @Test func fileNamesAreWords() {
    let names = ["03-red_toy.png", "1.png", "on a beach.jpg", "12 - a.b.webp", "IMG_0815.jpg"]
    #expect(names.map(PromptTemplates.words) == ["red toy", "", "on a beach", "a.b", "IMG 0815"])
  }
}

/// Which sentences are drawn. Shares are held against the binomial distribution, orders against all there can be.
@Suite struct TrainingSentencesTests {
  private func settings(
    _ kind: ConceptKind = .object, templates: [String]? = nil, _ change: (inout CaptionSettings) -> Void = { _ in }
  ) throws -> TrainingSettings {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<toy>", vectors: 1), initializer: "toy", kind: kind, resolution: 64,
      precision: .float32)
    settings.templates = templates
    change(&settings.captions)
    return settings
  }

  private func texts(_ lines: [[String]]) throws -> [CaptionText?] {
    try TemporaryFolder.with { folder in
      try lines.enumerated().map { index, lines in
        if lines.isEmpty { return nil }
        let file = folder.appendingPathComponent("\(index).txt")
        try Data(lines.joined(separator: "\n").utf8).write(to: file)
        return try CaptionText(file)
      }
    }
  }

  private func draws(_ sentences: TrainingSentences, _ count: Int, picture: Int = 0, seed: UInt64 = 3) -> [String] {
    (0..<count).map { sentences.sentence(picture: picture, seed: seed, turn: $0 / 4, sample: $0 % 4) }
  }

  /// Without captions a sentence is the template that stream 4 draws, as it was before there were any: runs go on as they began.
  @Test func withoutCaptionsTheTemplatesAreDrawnAsEver() throws {
    let sentences = TrainingSentences(try settings())
    for turn in 0..<50 {
      for sample in 0..<4 {
        let index = Philox(seed: 3, stream: 4, step: UInt32(turn)).integer(below: 27, at: sample)
        let expected = PromptTemplates.object[index].replacingOccurrences(of: "{}", with: "<toy>")
        #expect(sentences.sentence(picture: 1, seed: 3, turn: turn, sample: sample) == expected)
      }
    }
  }

  /// Seven in ten sentences name the ground, within four standard deviations; they are many, and all hold the word once.
  @Test func captionsVaryTheSentences() throws {
    let sentences = TrainingSentences(
      try settings(), pictures: ["a.png", "b.png"], captions: try texts([["on a beach"], []]))
    let drawn = draws(sentences, 1000)
    let named = drawn.filter { $0.hasSuffix("<toy> on a beach") }
    // A deviation of the square root of 1000 * .7 * .3.
    let bound = 4 * 14.5
    #expect(abs(Double(named.count) - 700) <= bound)
    #expect(Set(named).count == Set(PromptTemplates.object).count)
    for sentence in drawn {
      #expect(sentence.components(separatedBy: "<toy>").count == 2 && !sentence.contains("{}"))
      #expect(sentence.contains("beach") || sentence.hasSuffix("<toy>"))
    }
    #expect(draws(sentences, 100, picture: 1).allSatisfy { !$0.contains("beach") })
  }

  @Test(arguments: [(0, 400), (1, 0), (0.25, 300)] as [(Float, Int)]) func dropoutIsAShare(
    _ dropout: Float, _ kept: Int
  ) throws {
    let sentences = TrainingSentences(
      try settings { $0.dropout = dropout }, pictures: ["a.png"], captions: try texts([["a beach"]]))
    let share = Double(kept) / 400
    let named = draws(sentences, 400).filter { $0.contains("beach") }.count
    let deviation = (400 * share * (1 - share)).squareRoot()
    #expect(abs(Double(named - kept)) <= 4 * deviation)
  }

  /// Every order of what is free comes about equally often, and what is kept stays; behind what names the word, as it must not be
  /// cut off.
  @Test func partsAreShuffled() throws {
    let lines = [["a, b, c, d"], ["x, a photo of {} here, y, z"]]
    func orders(keeping kept: Int, picture: Int = 0) throws -> [String: Int] {
      let sentences = TrainingSentences(
        try settings(templates: ["{}"]) { ($0.dropout, $0.shuffles, $0.keptParts) = (0, true, kept) },
        pictures: ["a.png", "b.png"], captions: try texts(lines))
      return draws(sentences, 2400, picture: picture).reduce(into: [:]) { $0[$1, default: 0] += 1 }
    }
    let all = try orders(keeping: 0)
    #expect(all.count == 24 && all.keys.allSatisfy { $0.hasPrefix("<toy>, ") && $0.count == 17 })
    // Of 2400 draws each order has 100, with a deviation of 9.8.
    for count in all.values { #expect(abs(count - 100) <= 49) }
    #expect(try Set(orders(keeping: 2).keys) == ["<toy>, a, b, c, d", "<toy>, a, b, d, c"])
    #expect(try Set(orders(keeping: 9).keys) == ["<toy>, a, b, c, d"])
    #expect(try Set(orders(keeping: 2, picture: 1).keys) == ["<toy> here, x, y, z", "<toy> here, x, z, y"])
    #expect(try orders(keeping: 0, picture: 1).count == 6)
  }

  /// Of several lines one is drawn, each about as often.
  @Test func eachLineIsACaption() throws {
    let sentences = TrainingSentences(
      try settings { $0.dropout = 0 }, pictures: ["a.png"], captions: try texts([["on grass", "on sand"]]))
    let drawn = draws(sentences, 400)
    let grass = drawn.filter { $0.hasSuffix("on grass") }.count
    #expect(abs(grass - 200) <= 40)
    #expect(drawn.allSatisfy { $0.hasSuffix("on grass") || $0.hasSuffix("on sand") })
  }

  /// A template that has a place for the caption takes it there, always unless told otherwise, and the file's name without one.
  @Test func templatesSayWhereACaptionGoes() throws {
    let templates = ["a photo of a {}, [filewords]", "[filewords], {}"]
    let names = ["2-red_toy.png", "3.png", "4.png"]
    let captions = try texts([[], [], ["a beach, a ball"]])
    let sentences = TrainingSentences(try settings(templates: templates), pictures: names, captions: captions)
    #expect(Set(draws(sentences, 60)) == ["a photo of a <toy>, red toy", "red toy, <toy>"])
    #expect(Set(draws(sentences, 60, picture: 1)) == ["a photo of a <toy>", "<toy>"])
    #expect(Set(draws(sentences, 60, picture: 2)) == ["a photo of a <toy>, a beach, a ball", "a beach, a ball, <toy>"])
    let dropped = TrainingSentences(
      try settings(templates: templates) { $0.dropout = 1 }, pictures: names, captions: captions)
    #expect(Set(draws(dropped, 60, picture: 2)) == ["a photo of a <toy>", "<toy>"])
  }

  /// "indoors" and "outdoors" of the sentences for somebody would contradict a caption.
  @Test func onlyTemplatesThatEndWithTheWordAreWovenInto() throws {
    let sentences = TrainingSentences(
      try settings(.subject) { $0.dropout = 0 }, pictures: ["a.png"], captions: try texts([["on a beach"]]))
    #expect(draws(sentences, 400).allSatisfy { $0.hasSuffix("<toy> on a beach") })
  }

  @Test func aSentenceIsAFunctionOfSeedAndStep() throws {
    func drawn(_ seed: UInt64) throws -> [String] {
      draws(
        TrainingSentences(
          try settings { $0.shuffles = true }, pictures: ["a.png"], captions: try texts([["a, b, c, d, e"]])), 200,
        seed: seed)
    }
    #expect(try drawn(3) == drawn(3))
    #expect(try drawn(3) != drawn(4))
    let sentences = TrainingSentences(
      try settings { $0.shuffles = true }, pictures: ["a.png"], captions: try texts([["a, b, c, d, e"]]))
    let late = sentences.sentence(picture: 0, seed: 3, turn: 100, sample: 2)
    _ = draws(sentences, 50)
    #expect(sentences.sentence(picture: 0, seed: 3, turn: 100, sample: 2) == late)
  }
}

/// What is too long for the text encoder, and what would not be learned.
@Suite struct TrainingPromptsTests {
  private func prompts(
    _ captions: [String], templates: [String]? = nil, vectors: Int = 1
  ) throws -> (prompts: TrainingPrompts, warnings: [String]) {
    var settings = TrainingSettings(
      placeholder: try Placeholder("<toy>", vectors: vectors), initializer: "toy", kind: .object, resolution: 64,
      precision: .float32)
    settings.templates = templates
    var warnings: [String] = []
    let names = captions.indices.map { "\($0).png" }
    let texts = try TemporaryFolder.with { folder in
      try captions.enumerated().map { index, line -> CaptionText? in
        let file = folder.appendingPathComponent("\(index).txt")
        try Data(line.utf8).write(to: file)
        return line.isEmpty ? nil : try CaptionText(file)
      }
    }
    let prompts = try TrainingPrompts(
      settings, sentences: TrainingSentences(settings, pictures: names, captions: texts), pictures: names,
      tokenizers: [try CLIPTokenizer.builtIn().adding("<toy>", vectors: vectors)], warn: { warnings.append($0) })
    return (prompts, warnings)
  }

  /// 75 places: "a photo of a <toy>" takes five, a comma and a word two, so that of 37 words the last two are over, of 36 the last.
  @Test func whatIsCutIsSaidOnceAPicture() throws {
    let tags = { (count: Int) in Array(repeating: "red", count: count).joined(separator: ", ") }
    let template = ["a photo of a {}"]
    #expect(try prompts([tags(35), "", tags(3)], templates: template).warnings.isEmpty)
    let cut = try prompts([tags(37), tags(36)], templates: template + ["{}"]).warnings
    #expect(
      cut == [
        "what 0.png is taught in is longer than 75 tokens; this is left out: ', red, red'",
        "what 1.png is taught in is longer than 75 tokens; this is left out: ', red'",
      ])
  }

  @Test func aWordThatIsNeverSeenIsRefused() throws {
    let long = Array(repeating: "red", count: 80).joined(separator: " ")
    for (caption, template, hint) in [
      ("\(long) {}", "{}", "shorten its caption"), (long, "[filewords], {}", "shorten its caption"),
      ("a hill", "[filewords]", "put {} into its caption"), ("", "[filewords]", "put {} into its caption"),
    ] {
      let error = userError { _ = try prompts([caption], templates: [template]) }
      #expect(error?.kind == .badData && error?.message.contains("0.png") == true, "\(template)")
      #expect(error?.remedy?.contains(hint) == true, "\(error?.message ?? "")")
    }
    _ = try prompts(["a {} on a hill"], templates: ["[filewords]"])
  }

  /// What is learned from is what the tokenizer makes of the sentence, picture by picture.
  @Test func tokensAreTheSentences() throws {
    let (prompts, _) = try prompts(["on a beach", "on a hill"])
    let tokenizer = try CLIPTokenizer.builtIn().adding("<toy>", vectors: 1)
    let batch = try #require(prompts.tokens(pictures: [1, 0], seed: 7, turn: 5).first)
    let texts = [
      prompts.sentences.sentence(picture: 1, seed: 7, turn: 5, sample: 0),
      prompts.sentences.sentence(picture: 0, seed: 7, turn: 5, sample: 1),
    ]
    #expect(batch.ids == texts.flatMap { tokenizer.encode($0, length: 77).ids })
    #expect(batch.batch == 2 && batch.length == 77)
  }

  /// Settings that were written before captions were read go on without them.
  @Test func olderRunsReadNoCaptions() throws {
    let settings = TrainingSettings(
      placeholder: try Placeholder("<toy>", vectors: 1), initializer: "toy", kind: .object, resolution: 64,
      precision: .float32)
    var object = try #require(JSONSerialization.jsonObject(with: JSONEncoder().encode(settings)) as? [String: Any])
    #expect(object.removeValue(forKey: "captions") != nil)
    let old = try JSONDecoder().decode(TrainingSettings.self, from: JSONSerialization.data(withJSONObject: object))
    #expect(!old.captions.areRead && settings.captions.areRead)
    let same = try JSONDecoder().decode(TrainingSettings.self, from: JSONEncoder().encode(settings))
    #expect(same == settings)
  }
}
