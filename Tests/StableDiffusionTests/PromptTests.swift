import Foundation
import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

/// Prompts with weights and breaks, against an independent reading of the web UI's rules, its documentation's examples among the
/// cases (Tools/reference/prompts.py).
@Suite struct PromptTests {
  struct Reference: Decodable {
    struct Case: Decodable {
      let text: String
      let parts: [Part?]
    }
    struct Part: Decodable {
      let text: String
      let weight: Double

      init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        text = try container.decode(String.self)
        weight = try container.decode(Double.self)
      }
    }
    struct Chunked: Decodable {
      struct Chunk: Decodable {
        let ids: [Int32]
        /// Weights, and how many places in a row have them.
        let weights: [[Double]]
      }
      let text: String
      let chunks: [Chunk]
    }
    let cases: [Case]
    let added: [String: Int]
    let chunks: [Chunked]

    static func read() throws -> Reference {
      try JSONDecoder().decode(Reference.self, from: Data(contentsOf: Fixtures.url("prompts.json")))
    }
  }

  @Test func textsHaveTheWeightsOfTheWebUI() throws {
    let cases = try Reference.read().cases
    #expect(cases.count > 600)
    for example in cases {
      let expected = example.parts.map { part in
        part.map { WeightedPrompt.Part.text($0.text, weight: $0.weight) } ?? .chunkBreak
      }
      #expect(WeightedPrompt(example.text).parts == expected, "\(example.text.debugDescription)")
    }
  }

  @Test func chunksHoldTheTokensOfTheWebUI() throws {
    let reference = try Reference.read()
    let tokenizer = try reference.added.reduce(CLIPTokenizer.builtIn()) { try $0.adding($1.key, vectors: $1.value) }
    for example in reference.chunks {
      let expected = example.chunks.map { chunk in
        let weights = chunk.weights.flatMap { Array(repeating: Float($0[0]), count: Int($0[1])) }
        let padding = 75 - chunk.ids.count
        return PromptChunk(
          ids: [tokenizer.startToken] + chunk.ids + Array(repeating: tokenizer.endToken, count: padding + 1),
          weights: [1] + weights + Array(repeating: 1, count: padding + 1), count: chunk.ids.count)
      }
      #expect(tokenizer.chunks(WeightedPrompt(example.text)) == expected, "\(example.text.debugDescription)")
    }
  }

  /// Stable Diffusion 2's padding stands behind the end, as transformers pads.
  @Test func paddingIsTheTokenizersOwn() throws {
    let tokenizer = try CLIPTokenizer.builtIn(padding: .exclamationMark)
    #expect(tokenizer.padToken == 0)
    let chunks = tokenizer.chunks(WeightedPrompt("a (cat) BREAK"))
    #expect(chunks.map(\.ids) == [[49_406, 320, 2368, 49_407] + Array(repeating: 0, count: 73)])
    #expect(chunks.map(\.isWeighted) == [true])
    #expect(tokenizer.chunks(WeightedPrompt("a cat"))[0].ids == tokenizer.encode("a cat").ids)
  }

  /// As ComfyUI names learned words: by a file's name, with or without its ending.
  @Test func embeddingsGoByTheirNames() {
    let words = ["toy": "<toy>", "<toy>": "<toy>", "a.b": "<ab>"]
    for (text, expected) in [
      ("a embedding:toy, b", "a <toy>, b"), ("embedding:Toy", "<toy>"), ("embedding:toy.pt\nx", "<toy>\nx"),
      ("embedding:toy.safetensors.", "<toy>."), ("an embedding:a.b!", "an <ab>!"), ("x,embedding:<toy>?", "x,<toy>?"),
      ("myembedding:toy", "myembedding:toy"), ("embedding: toy", " toy"), ("a embedding:dog b", "a  b"),
    ] {
      let prompt = WeightedPrompt(text).naming(words)
      #expect(prompt.parts == [.text(expected, weight: 1)])
      #expect(
        prompt.warnings.count == (expected.contains("<") || expected == text ? 0 : 1), "\(text): \(prompt.warnings)")
    }
    #expect(
      WeightedPrompt("a (embedding:toy:1.2)").naming(words).parts
        == [.text("a ", weight: 1), .text("<toy>", weight: 1.2)])
  }

  /// A learned word may hold the signs.
  @Test func wordsThatHoldSignsAreWords() {
    let prompt = WeightedPrompt("a [V] and ([v]_1:1.2) [x]", words: ["[v]", "<toy>"])
    #expect(
      prompt.parts == [
        .text("a [V] and ", weight: 1), .text("[v]_1", weight: 1.2), .text(" ", weight: 1), .text("x", weight: 1 / 1.1),
      ])
  }

  @Test func promptsWithoutMarksArePlain() {
    for text in ["", "a cat", "a cat, it's <toy>: red-blue {x} <y> |", "the Break of BREAKS and_BREAK"] {
      let prompt = WeightedPrompt(text)
      #expect(prompt.isPlain && prompt.warnings.isEmpty && prompt.parts == [.text(text, weight: 1)], "\(text)")
    }
    #expect(WeightedPrompt("a \\[b|c\\] \\[x:y:0.5\\]").warnings.isEmpty)
    for text in ["(a)", "[a]", "a BREAK b", "(a:1.2) b"] { #expect(!WeightedPrompt(text).isPlain, "\(text)") }
  }

  /// The mean restored, against PyTorch; a context beside it, as of another encoder, stays.
  @Test func weightedContextsAreThoseOfPyTorch() throws {
    let file = try SafetensorsFile(Fixtures.url("prompts.safetensors"))
    let (context, expected) = (try file.tensor("context"), try file.tensor("weighted"))
    let prompt = try #require(file.metadata["prompt"])
    let tokenizer = try CLIPTokenizer(folder: Fixtures.url("models/tiny-sd1/tokenizer"))
    let chunks = tokenizer.chunks(WeightedPrompt(prompt))
    #expect(try chunks.flatMap(\.ids) == file.integers("ids").values.map { Int32($0) })
    let weights = chunks.map(\.weights)
    #expect(try weights.flatMap { $0 } == file.tensor("weights").values)
    let width = context.shape[2]
    // The mean of this context is a thirtieth of its numbers, and so is its rounding's share.
    #expect(try relativeError(context.weighted(weights, channels: 0..<width), expected) < 3e-6)

    // The same beside channels of another encoder.
    let wide = HostTensor(
      [2, 77, 2 * width],
      (0..<2 * 77).flatMap { place in
        let own = context.values[place * width..<(place + 1) * width]
        return own + own
      })
    let right = try wide.weighted(weights, channels: width..<2 * width).values
    for place in 0..<2 * 77 {
      let start = place * 2 * width
      #expect(right[start..<start + width] == context.values[place * width..<(place + 1) * width])
    }
    // A chunk without weights stays, bit for bit.
    let ones = [[Float](repeating: 1, count: 77), weights[1]]
    #expect(
      try context.weighted(ones, channels: 0..<width).values.prefix(77 * width) == context.values.prefix(77 * width))
    for weight in [Float(0), .infinity] {
      let none = [[Float](repeating: weight, count: 77), weights[1]]
      #expect(userError { _ = try context.weighted(none, channels: 0..<width) }?.kind == .badData)
    }
  }

  /// Both encoders' contexts are weighted, each by itself; the pooled text is the first chunk's, and the shorter prompt has an
  /// empty second one.
  @Test(arguments: TestBackends.float32) func conditioningOfTwoEncodersIsThatOfPyTorch(on backend: TestBackend) throws {
    try backend.run { try checkConditioning(on: $0) }
  }

  private func checkConditioning<B: Backend>(on backend: B) throws {
    let file = try SafetensorsFile(Fixtures.url("prompts.safetensors"))
    let prompts = try ["picture", "negative"].map { WeightedPrompt(try #require(file.metadata[$0])) }
    let fixture = try #require(ModelFixture.xl.first)
    let chunks = try ["tokenizer", "tokenizer_2"].map { name in
      let tokenizer = try CLIPTokenizer(folder: Fixtures.url("models/\(fixture.name)/\(name)"))
      let chunks = prompts.map { tokenizer.chunks($0) }
      return [chunks[0], chunks[1] + [tokenizer.emptyChunk]]
    }
    let conditioning = try fixture.model().textEncoders(on: backend).conditioning(chunks: chunks, rows: [:])
    let context = try backend.download(conditioning.context)
    let pooled = try backend.download(try #require(conditioning.pooled))
    let (expected, expectedPooled) = (try file.tensor("xl.context"), try file.tensor("xl.pooled"))
    #expect(context.shape == [2, 2 * 77, expected.shape[1]])
    let first = HostTensor(expected.shape, Array(context.values.prefix(expected.shape.count)))
    #expect(relativeError(first, expected) < 1e-5)
    #expect(relativeError(pooled, expectedPooled) < 1e-5)
    // Prompts of different numbers of chunks are a caller's mistake, and no trap.
    let uneven = chunks.map { [$0[0], Array($0[1].prefix(1))] }
    #expect(throws: OperationError.self) {
      try fixture.model().textEncoders(on: backend).conditioning(chunks: uneven, rows: [:])
    }
  }

  /// What is odd is said, a line each.
  @Test(arguments: [
    ("(a", "is not closed"), ("((a", "2 '(' that are"), ("[a", "'[' that is not closed"),
    ("a)", "a ')' that closes no"),
    ("a]", "a ']' that closes no"), ("a:1.2)", "closes no bracket"), ("(a:1.2.3)", "holds no number"),
    ("a\\b", "is left out"),
    ("a <lora:x:0.8>", "<lora:"), ("[a:b:0.5]", "do not change on the way"), ("[a|b]", "alternate"),
    ("a AND b", "composed"),
  ])
  func whatIsOddIsSaid(_ text: String, _ says: String) {
    let warnings = WeightedPrompt(text).warnings
    #expect(warnings.count == 1 && warnings[0].contains(says), "\(warnings)")
  }

  /// A weight that is no number, and one beyond all numbers, are text; the bracket still is one.
  @Test func weightsThatAreNoNumbersAreText() {
    let many = String(repeating: "9", count: 400)
    for number in ["1.2.3", ".", "+", many] {
      let prompt = WeightedPrompt("x (a:\(number)) b")
      let isMark = number != "+"
      #expect(prompt.parts == [.text("x ", weight: 1), .text("a:\(number)", weight: 1.1), .text(" b", weight: 1)])
      #expect(prompt.warnings.isEmpty != isMark, "\(number)")
    }
  }
}
