import Foundation
import ModelFiles
import Operators
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

/// The truth is transformers' `CLIPTextModel` in double precision (Tools/reference/outputs.py).
@Suite struct TextEncoderTests {
  @Test(arguments: ModelFixture.all, TestBackends.all)
  func outputAndGradientAreThoseOfTransformers(fixture: ModelFixture, on backend: TestBackend) throws {
    try backend.run { try check(fixture, on: $0) }
  }

  private func check<B: Backend>(_ fixture: ModelFixture, on backend: B) throws {
    let file = try fixture.outputs()
    let encoder = try fixture.textEncoder(backend)
    let (context, saved) = try encoder.forward(tokens(file), rows: nil)
    let dContext = try backend.upload(file.tensor("text.output_gradient"), as: backend.precision)
    let gradient = try encoder.backward(dContext, saved)
    let tolerance = backend.precision.networkTolerance
    #expect(try relativeError(backend.download(context), file.tensor("text.output")) < tolerance)
    #expect(try relativeError(backend.download(gradient), file.tensor("text.embedding_gradient")) < tolerance)
  }

  /// A row given beside the table stands for a word as the table's own would.
  @Test(arguments: TestBackends.float32)
  func aRowBesideTheTableActsAsOneOfIt(on backend: TestBackend) throws {
    try backend.run { try checkRows(on: $0) }
  }

  private func checkRows<B: Backend>(on backend: B) throws {
    let fixture = ModelFixture.all[0]
    let encoder = try fixture.textEncoder(backend, differentiable: false)
    let tokens = try tokens(fixture.outputs())
    let width = encoder.configuration.width
    let table = try fixture.folder().weights("text_encoder")
      .take("text_model.embeddings.token_embedding.weight", [encoder.configuration.vocabularySize, width])
    let word = tokens.ids[2]
    let row = HostTensor([1, width], Array(table.values[Int(word) * width..<(Int(word) + 1) * width]))
    let replaced = TokenBatch(
      ids: tokens.ids.map { $0 == word ? Int32(encoder.configuration.vocabularySize) : $0 }, batch: tokens.batch,
      length: tokens.length)
    let plain = try backend.download(encoder.predict(tokens, rows: nil))
    let byRow = try backend.download(encoder.predict(replaced, rows: backend.upload(row, as: .float32)))
    #expect(plain == byRow)
  }

  private func tokens(_ file: SafetensorsFile) throws -> TokenBatch {
    let (shape, ids) = try file.integers("text.input_ids")
    return TokenBatch(ids: ids.map(Int32.init), batch: shape[0], length: shape[1])
  }
}
