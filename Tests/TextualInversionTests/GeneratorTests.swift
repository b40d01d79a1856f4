import CPUBackend
import DemoModel
import Foundation
import Images
import ModelFiles
import Operators
import StableDiffusion
import TestSupport
import Tensors
import Testing
import TextualInversion

/// Pictures of the demo model against those that diffusers draws from the same latents (Tools/reference/generate.py).
@Suite(.serialized) struct GeneratorTests {
  private static let pictures: [(file: String, sampler: SamplerKind)] = [
    ("ddim30", .ddim), ("euler30", .euler), ("dpm2m30", .dpmSolverPP2M), ("ddim30-negative", .ddim),
  ]

  private func picture<B: Backend>(
    _ file: String, _ sampler: SamplerKind, on backend: B, prompts: (String, String)? = nil
  ) throws -> Picture {
    let metadata = try SafetensorsFile(Fixtures.url("demo/pictures.safetensors")).metadata
    let latents = try SafetensorsFile(Fixtures.url("demo/latents.safetensors")).tensor("latents")
    let generator = try Generator(
      model: DiffusersFolder(DemoModel.model), embeddings: [], precision: .float32, makeBackend: { _ in backend })
    var settings = GenerationSettings(
      prompt: try #require(metadata["prompt"]), width: generator.nativeSide, height: generator.nativeSide)
    if file.hasSuffix("negative") { settings.negativePrompt = try #require(metadata["negative_prompt"]) }
    if let prompts { (settings.prompt, settings.negativePrompt) = prompts }
    settings.sampler = sampler
    return try generator.picture(
      settings, latents: latents.reshaped(Shape(Array(latents.shape.dimensions.suffix(3)))).transposed([1, 2, 0]))
  }

  /// What a caller can say wrong is an error, not the end of the process.
  @Test func refusesWhatItCantDraw() throws {
    let generator = try Generator(
      model: DiffusersFolder(DemoModel.model), embeddings: [], precision: .float32,
      makeBackend: { try CPUBackend(precision: $0) })
    for (width, height) in [
      (0, 64), (-64, 64), (64, 66), (Int.max, 64), (1 << 62, 1 << 62), (1 << 30, 64), (8192, 1 << 40),
    ] {
      let settings = GenerationSettings(prompt: "a", width: width, height: height)
      #expect(userError { _ = try generator.picture(settings) }?.kind == .usage, "\(width) x \(height)")
    }
    let settings = GenerationSettings(prompt: "a", width: 64, height: 64)
    let shape = try generator.latentShape(settings)
    for latents in [
      HostTensor(repeating: 0, [1]), HostTensor(repeating: 0, Shape(shape.dimensions.reversed())),
      HostTensor(repeating: 0, Shape([1] + shape.dimensions)), HostTensor(repeating: .nan, shape),
      HostTensor(repeating: .infinity, shape),
    ] {
      #expect(userError { _ = try generator.picture(settings, latents: latents) }?.kind == .badData, "\(latents.shape)")
    }
  }

  @Test(arguments: pictures.indices, TestBackends.float32)
  func drawsWhatDiffusersDraws(index: Int, backend: TestBackend) throws {
    let (file, sampler) = Self.pictures[index]
    let expected = try Picture(contentsOf: Fixtures.url("demo/\(file).png"))
    let actual = try backend.run { try picture(file, sampler, on: $0) }
    #expect(decibels(actual, expected) >= 45, "\(file): \(decibels(actual, expected)) dB")
  }

  /// Both of Stable Diffusion XL's encoders, pooled text and sizes; with no negative prompt, zeros in its place.
  @Test(
    arguments: ["tiny-sdxl", "tiny-sdxl-v"].flatMap { model in
      ["ddim30", "euler30", "ddim30-negative"].map { (model, $0) }
    }, TestBackends.float32)
  func drawsWhatDiffusersDrawsOfXL(_ picture: (model: String, file: String), backend: TestBackend) throws {
    let folder = Fixtures.url("models/\(picture.model)")
    let file = try SafetensorsFile(folder.appendingPathComponent("pictures/pictures.safetensors"))
    let latents = try SafetensorsFile(folder.appendingPathComponent("pictures/latents.safetensors")).tensor("latents")
    let expected = try Picture(contentsOf: folder.appendingPathComponent("pictures/\(picture.file).png"))
    func draw<B: Backend>(_ backend: B) throws -> Picture {
      let generator = try Generator(
        model: DiffusersFolder(folder), embeddings: [], precision: .float32, makeBackend: { _ in backend })
      var settings = GenerationSettings(
        prompt: try #require(file.metadata["prompt"]), width: expected.width, height: expected.height)
      if picture.file.hasSuffix("negative") { settings.negativePrompt = try #require(file.metadata["negative_prompt"]) }
      settings.sampler = picture.file.hasPrefix("euler") ? .euler : .ddim
      return try generator.picture(
        settings, latents: latents.reshaped(Shape(Array(latents.shape.dimensions.suffix(3)))).transposed([1, 2, 0]))
    }
    let actual = try backend.run { try draw($0) }
    #expect(decibels(actual, expected) >= 45, "\(decibels(actual, expected)) dB")
  }

  /// The peak signal-to-noise ratio.
  private func decibels(_ actual: Picture, _ expected: Picture) -> Double {
    guard actual.width == expected.width, actual.height == expected.height else { return -.infinity }
    let squares = zip(actual.pixels, expected.pixels).reduce(0.0) { sum, pair in
      let difference = Double(pair.0) - Double(pair.1)
      return sum + difference * difference
    }
    let noise = squares / Double(expected.pixels.count)
    return noise > 0 ? 10 * log10(255 * 255 / noise) : .infinity
  }

  /// Weights and chunks, against diffusers with contexts that PyTorch weighted (Tools/reference/prompts.py).
  @Test(arguments: TestBackends.float32) func drawsWeightedPromptsAsTheyMean(backend: TestBackend) throws {
    let metadata = try SafetensorsFile(Fixtures.url("prompts.safetensors")).metadata
    let expected = try Picture(contentsOf: Fixtures.url("demo/ddim30-weighted.png"))
    let prompts = (try #require(metadata["picture"]), try #require(metadata["negative"]))
    let actual = try backend.run { try picture("ddim30-weighted", .ddim, on: $0, prompts: prompts) }
    #expect(decibels(actual, expected) >= 45, "\(decibels(actual, expected)) dB")
  }

  /// A prompt without marks has the numbers it has as it stands.
  @Test func promptsWithoutMarksAreDrawnAsTheyStand() throws {
    var (generator, settings) = try demo([Self.word("<a>", vectors: 2)], prompt: "a photo of <a>, it's red: a cat")
    settings.negativePrompt = "blue"
    let picture = try generator.picture(settings)
    settings.plainPrompts = true
    #expect(try generator.picture(settings) == picture)
    settings.prompt = "a photo of <a>, it's (red): a cat"
    let asItStands = try generator.picture(settings)
    settings.plainPrompts = false
    #expect(try generator.picture(settings) != asItStands)
  }

  @Test func longPromptsAndNamedWordsAreWhole() throws {
    var (generator, settings) = try demo(
      [Self.word("<a>", vectors: 3), Self.word("<b>", vectors: 1)],
      prompt: String(repeating: "photo ", count: 73) + "<a> embedding:B, (<a>:1.2")
    // A word of three vectors does not stand across a border: it begins the second chunk, whose first place is the 76th.
    #expect(generator.uses(settings).map(\.prompt) == [[76, 77, 78, 81, 82, 83], [79]])
    #expect(generator.uses(settings).map(\.cut) == [0, 0])
    var warnings: [String] = []
    settings.negativePrompt = "a)"
    _ = try generator.picture(settings, warn: { warnings.append($0) })
    #expect(warnings.count == 2, "\(warnings)")
    #expect(
      warnings.first?.hasPrefix("negative prompt: a ')'") == true && warnings.last?.hasPrefix("prompt: 1 '('") == true)
  }

  private func demo(_ embeddings: [EmbeddingFile], prompt: String) throws -> (
    generator: Generator<CPUBackend>, settings: GenerationSettings
  ) {
    let generator = try Generator(
      model: DiffusersFolder(DemoModel.model), embeddings: embeddings, precision: .float32,
      makeBackend: { try CPUBackend(precision: $0) })
    var settings = GenerationSettings(prompt: prompt, width: generator.nativeSide, height: generator.nativeSide)
    settings.steps = 1
    return (generator, settings)
  }

  private static func word(_ word: String, vectors: Int, value: Float = 0.01) throws -> EmbeddingFile {
    let width = try StableDiffusionModel(DiffusersFolder(DemoModel.model)).shape.textEncoder.width
    return EmbeddingFile(
      word: word, rows: [.textEncoder: HostTensor([vectors, width], Array(repeating: value, count: vectors * width))])
  }

  @Test func itSaysWhereEachWordStands() throws {
    var (generator, settings) = try demo(
      [Self.word("<Toy>", vectors: 3), Self.word("<b>", vectors: 1)], prompt: "a photo of <TOY>, <toy>_1")
    settings.negativePrompt = "<b>"
    // The start is token 0, "a photo of" are 1 to 3, the comma is 7.
    let uses = generator.uses(settings)
    #expect(uses.map(\.prompt) == [[4, 5, 6, 8], []] && uses.map(\.negativePrompt) == [[], [1]])
    #expect(uses[0].description == "<Toy>, 3 vectors: tokens 4-6, 8 of the prompt")
    var warnings: [String] = []
    _ = try generator.picture(settings, warn: { warnings.append($0) })
    #expect(warnings.isEmpty)
    // Without guidance the negative prompt, and the word in it, have no part.
    settings.prompt = "a photo"
    settings.guidance = 0.5
    _ = try generator.picture(settings, warn: { warnings.append($0) })
    #expect(warnings.count == 3 && warnings[0].contains("negative prompt"))
    #expect(warnings.dropFirst() == ["no prompt holds the word '<Toy>'", "no prompt holds the word '<b>'"])
  }

  /// 75 tokens fit: of a word of three vectors that begins at the 74th, two.
  @Test func aWordThatIsCutIsSaid() throws {
    var (generator, settings) = try demo(
      [Self.word("<a>", vectors: 3), Self.word("<b>", vectors: 1)],
      prompt: String(repeating: "photo ", count: 73) + "<a> <b>")
    settings.plainPrompts = true
    let uses = generator.uses(settings)
    #expect(
      uses.map(\.prompt) == [[74, 75], []] && uses.map(\.cut) == [1, 1] && uses.map(\.isUsed) == [true, false])
    var warnings: [String] = []
    _ = try generator.picture(settings, warn: { warnings.append($0) })
    #expect(warnings.count == 3, "\(warnings)")
    #expect(warnings.first?.contains("'<a> <b>'") == true, "\(warnings)")
    #expect(warnings.dropFirst().allSatisfy { $0.contains("1 of its vectors are left out") }, "\(warnings)")
  }

  /// diffusers' pipeline: `do_classifier_free_guidance` is `guidance_scale > 1`.
  @Test func guidanceOfOneOrLessIsOff() throws {
    var (generator, settings) = try demo([], prompt: "a photo of a cat")
    let pictures = try [Float(0), 0.5, 1, 1.5].map { guidance in
      settings.guidance = guidance
      return try generator.picture(settings)
    }
    #expect(pictures[0] == pictures[2] && pictures[1] == pictures[2] && pictures[3] != pictures[2])
  }

  @Test func bothPromptsThatAreCutAreNamed() throws {
    var (generator, settings) = try demo([], prompt: String(repeating: "photo ", count: 75) + "cat")
    settings.negativePrompt = String(repeating: "photo ", count: 75) + "dog"
    settings.plainPrompts = true
    var warnings: [String] = []
    _ = try generator.picture(settings, warn: { warnings.append($0) })
    #expect(warnings.contains { $0.hasPrefix("the prompt") && $0.contains("'cat'") }, "\(warnings)")
    #expect(warnings.contains { $0.hasPrefix("the negative prompt") && $0.contains("'dog'") }, "\(warnings)")
  }

  @Test func wordsThatCannotStandAreRefused() throws {
    let cases: [(embeddings: [EmbeddingFile], says: String)] = try [
      ([Self.word("<a>", vectors: 1), Self.word("<A>", vectors: 2)], "that of another as well; give it another"),
      ([Self.word("<a>_1", vectors: 1), Self.word("<a>", vectors: 2)], "already exists"),
      ([Self.word("cat</w>", vectors: 1)], "already exists"), ([Self.word(" ", vectors: 1)], "FILE=<toy>"),
      ([Self.word("<a>", vectors: 76)], "76 vectors"), ([Self.word("<a>", vectors: 1, value: .nan)], "NaN"),
      ([Self.word("<a>", vectors: 1, value: -.infinity)], "infinity"),
      ([Self.word("<a>", vectors: 1, value: 1e28)], "that is no word"),
      ([Self.word("<a>", vectors: 1, value: 3e38)], "that is no word"),
      ([EmbeddingFile(word: "<a>", rows: [.textEncoder: HostTensor([1, 3], [0, 0, 0])])], "another kind of model"),
      (
        [EmbeddingFile(word: "<a>", rows: [.textEncoder3: HostTensor([1, 3], [0, 0, 0])])], "no rows for this model's"
      ),
      (
        [
          EmbeddingFile(
            word: "<a>",
            rows: Self.word("<a>", vectors: 1).rows.merging([.textEncoder2: HostTensor([1, 1], [0])]) { $1 })
        ], "rows for a text_encoder_2"
      ),
      ([EmbeddingFile(word: "<a>", rows: [.textEncoder: HostTensor([3], [0, 0, 0])])], "not [vectors, width]"),
      ([EmbeddingFile(word: "<a>", rows: [.textEncoder: HostTensor([], [0])])], "not [vectors, width]"),
    ]
    for (embeddings, says) in cases {
      let error = userError { _ = try demo(embeddings, prompt: "a") }
      #expect(error?.kind == .badData && error?.message.contains(says) == true, "\(error?.message ?? "") lacks \(says)")
    }
    // A trained word's rows may be many times as long as the vocabulary's; and as many as a prompt holds.
    _ = try demo([Self.word("<a>", vectors: 1, value: 1)], prompt: "<a>")
    let (generator, settings) = try demo([Self.word("<a>", vectors: 75)], prompt: "<a>")
    #expect(generator.uses(settings).first?.prompt == Array(1...75))
  }

  @Test func latentsThatAreNoneAreRefused() throws {
    let (generator, settings) = try demo([], prompt: "a")
    let shape = try generator.latentShape(settings)
    for value in [Float.nan, .infinity] {
      var values = Array(repeating: Float(0), count: shape.count)
      values[7] = value
      let error = userError { _ = try generator.picture(settings, latents: HostTensor(shape, values)) }
      #expect(error?.kind == .badData && error?.message.contains("NaN") == true)
    }
    let error = userError { _ = try generator.picture(settings, latents: HostTensor([1, 1, 4], [0, 0, 0, 0])) }
    #expect(error?.kind == .badData && error?.message.contains("\(shape)") == true)
    // What is asked for once the model's first part is there, and before the first step.
    var asked = 0
    #expect(throws: CancellationError.self) {
      _ = try Generator(
        model: DiffusersFolder(DemoModel.model), embeddings: [], precision: .float32,
        makeBackend: { try CPUBackend(precision: $0) },
        shouldStop: {
          asked += 1
          return asked == 2
        })
    }
    #expect(throws: CancellationError.self) { _ = try generator.picture(settings, shouldStop: { true }) }
    // Numbers, but such that what is computed of them is none.
    let huge = HostTensor(shape, Array(repeating: 3e38, count: shape.count))
    let overflow = userError { _ = try generator.picture(settings, latents: huge) }
    #expect(overflow?.kind == .badData && overflow?.message.contains("step 1") == true, "\(overflow?.message ?? "")")
  }
}
