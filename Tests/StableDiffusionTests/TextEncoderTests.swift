import Foundation
import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

/// The truth is transformers' `CLIPTextModel`, and of SDXL's second `CLIPTextModelWithProjection`, in double precision
/// (Tools/reference/outputs.py).
@Suite struct TextEncoderTests {
  /// Of two encoders the context holds both, side by side.
  @Test(arguments: ModelFixture.all, TestBackends.all)
  func outputAndGradientAreThoseOfTransformers(fixture: ModelFixture, on backend: TestBackend) throws {
    try backend.run { try check(fixture, on: $0) }
  }

  private func check<B: Backend>(_ fixture: ModelFixture, on backend: B) throws {
    let file = try fixture.outputs()
    let components = try fixture.model().shape.textComponents.map(\.component)
    let names: [Component: String] = [.textEncoder: "text", .textEncoder2: "text_2"]
    let prefixes = components.compactMap { names[$0] }
    func sideBySide(_ name: String) throws -> HostTensor {
      HostTensor(concatenatingChannels: try prefixes.map { try file.tensor("\($0).\(name)") })
    }
    let encoders = try fixture.model().textEncoders(on: backend, trained: Set(components))
    #expect(try encoders.gradientNames == fixture.gradients())
    let tokens = try prefixes.map { try self.tokens(file, $0) }
    let (conditioning, saved) = try encoders.forward(tokens, rows: [:])
    let isPooled = prefixes.contains("text_2")
    let gradient = ConditioningGradient(
      context: try backend.upload(sideBySide("output_gradient"), as: backend.precision),
      pooled: isPooled ? try backend.upload(file.tensor("text_2.pooled_gradient"), as: backend.precision) : nil)
    let dEmbedded = try encoders.backward(gradient, saved)

    let tolerance = backend.precision.networkTolerance
    #expect(try relativeError(backend.download(conditioning.context), sideBySide("output")) < tolerance)
    #expect((conditioning.pooled != nil) == isPooled)
    if let pooled = conditioning.pooled {
      #expect(try relativeError(backend.download(pooled), file.tensor("text_2.pooled")) < tolerance)
    }
    #expect(dEmbedded.count == prefixes.count)
    for (component, gradient) in dEmbedded {
      let expected = try file.tensor("\(names[component] ?? "").embedding_gradient")
      #expect(try relativeError(backend.download(gradient), expected) < tolerance, "\(component)")
    }
    let predicted = try encoders.forward(tokens, rows: [:], keeping: .nothing).conditioning
    #expect(try backend.download(predicted.context) == backend.download(conditioning.context))
  }

  /// Rows of one encoder can be trained alone: the other one is not differentiated, and pooled text is the second's.
  @Test(arguments: [Component.textEncoder, .textEncoder2], TestBackends.float32)
  func oneOfTwoCanBeTrainedAlone(_ component: Component, on backend: TestBackend) throws {
    try backend.run { try checkAlone(component, on: $0) }
  }

  private func checkAlone<B: Backend>(_ component: Component, on backend: B) throws {
    let file = try ModelFixture.xl[0].outputs()
    let encoders = try ModelFixture.xl[0].model().textEncoders(on: backend, trained: [component])
    #expect(encoders.gradientNames == (component == .textEncoder ? [.context] : [.context, .pooled]))
    let (conditioning, saved) = try encoders.forward([tokens(file, "text"), tokens(file, "text_2")], rows: [:])
    let ones = HostTensor(repeating: 1, conditioning.context.shape)
    let dEmbedded = try encoders.backward(
      ConditioningGradient(context: backend.upload(ones, as: backend.precision)), saved)
    #expect(Set(dEmbedded.keys) == [component])
  }

  /// transformers takes the first `eos_token_id`, or where that is 2 the first of the highest ids (`CLIPTextTransformer`): prompts
  /// padded with end of text, with "!", and with a word in training, whose id is the highest.
  @Test(arguments: [
    (TextPooling.endOfText, [3, 2, 3]), (.highestID, [3, 2, 1]),
  ])
  func textIsPooledWhereTransformersDoes(_ pooling: TextPooling, _ positions: [Int]) throws {
    let ids: [Int32] = [98, 5, 7, 99, 99, 98, 5, 99, 0, 0, 98, 103, 103, 99, 0]
    let tokens = TokenBatch(ids: ids, batch: 3, length: 5)
    #expect(try pooling.positions(tokens, endOfText: 99) == positions)
  }

  @Test func aPromptWithoutItsEndIsRefused() {
    #expect(throws: OperationError.self) {
      try TextPooling.endOfText.positions(TokenBatch(ids: [1, 2], batch: 1, length: 2), endOfText: 3)
    }
  }

  /// A row given beside the table stands for a word as the table's own would.
  @Test(arguments: TestBackends.float32)
  func aRowBesideTheTableActsAsOneOfIt(on backend: TestBackend) throws {
    try backend.run { try checkRows(on: $0) }
  }

  private func checkRows<B: Backend>(on backend: B) throws {
    let fixture = ModelFixture.all[0]
    let encoder = try fixture.textEncoder(backend, differentiable: false)
    let tokens = try tokens(fixture.outputs(), "text")
    let width = encoder.configuration.width
    let table = try fixture.folder().weights(.textEncoder)
      .take("text_model.embeddings.token_embedding.weight", [encoder.configuration.vocabularySize, width])
    let word = tokens.ids[2]
    let row = HostTensor([1, width], Array(table.values[Int(word) * width..<(Int(word) + 1) * width]))
    let replaced = TokenBatch(
      ids: tokens.ids.map { $0 == word ? Int32(encoder.configuration.vocabularySize) : $0 }, batch: tokens.batch,
      length: tokens.length)
    let plain = try backend.download(encoder.forward(tokens, rows: nil, keeping: .nothing).conditioning.context)
    let byRow = try backend.download(
      encoder.forward(replaced, rows: backend.upload(row, as: .float32), keeping: .nothing).conditioning.context)
    #expect(plain == byRow)
  }

  private func tokens(_ file: SafetensorsFile, _ prefix: String) throws -> TokenBatch {
    let (shape, ids) = try file.integers("\(prefix).input_ids")
    return TokenBatch(ids: ids.map(Int32.init), batch: shape[0], length: shape[1])
  }
}

extension HostTensor {
  /// Tensors of one shape but for their channels, side by side.
  fileprivate init(concatenatingChannels parts: [HostTensor]) {
    let rows = parts[0].shape.rows
    var values: [Float] = []
    for row in 0..<rows {
      for part in parts { values += part.values[row * part.shape.channels..<(row + 1) * part.shape.channels] }
    }
    self.init(parts[0].shape.withChannels(parts.reduce(0) { $0 + $1.shape.channels }), values)
  }
}
