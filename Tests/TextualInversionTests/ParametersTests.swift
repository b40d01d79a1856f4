import ModelFiles
import Tensors
import Testing

@testable import TextualInversion

/// How words' rows become an encoder's table and come back.
@Suite struct ParametersTests {
  private func layout() throws -> RowLayout {
    RowLayout(
      words: [try Placeholder("<b>", vectors: 2), try Placeholder("<a>", vectors: 1)],
      encoders: [.textEncoder, .textEncoder2])
  }

  private let parameters: Parameters = [
    ParameterName(.textEncoder, "<b>"): HostTensor([2, 2], [1, 2, 3, 4]),
    ParameterName(.textEncoder, "<a>"): HostTensor([1, 2], [5, 6]),
    ParameterName(.textEncoder2, "<b>"): HostTensor([2, 1], [7, 8]),
    ParameterName(.textEncoder2, "<a>"): HostTensor([1, 1], [9]),
  ]

  /// The rows stand in the order of the words, whatever that of their names.
  @Test func tablesAreTheWordsInOrder() throws {
    let layout = try layout()
    #expect(try layout.table(.textEncoder, of: parameters) == HostTensor([3, 2], [1, 2, 3, 4, 5, 6]))
    #expect(try layout.table(.textEncoder2, of: parameters) == HostTensor([3, 1], [7, 8, 9]))
    let parts = layout.encoders.map { encoder in
      layout.parameters(
        encoder,
        of: encoder == .textEncoder ? HostTensor([3, 2], [1, 2, 3, 4, 5, 6]) : HostTensor([3, 1], [7, 8, 9]))
    }
    #expect(parts[0].merging(parts[1]) { a, _ in a } == parameters)
    #expect(
      layout.names.map(\.description) == [
        "rows.text_encoder.<b>", "rows.text_encoder.<a>", "rows.text_encoder_2.<b>", "rows.text_encoder_2.<a>",
      ])
  }

  @Test func rowsThatDoNotFitAreNamed() throws {
    let layout = try layout()
    for wrong: HostTensor? in [nil, HostTensor([1, 2], [1, 2]), HostTensor([2, 3], [1, 2, 3, 4, 5, 6])] {
      var broken = parameters
      broken[ParameterName(.textEncoder, "<b>")] = wrong
      let error = #expect(throws: UserError.self) { try layout.table(.textEncoder, of: broken) }
      #expect(error?.kind == .badData && error?.message.contains("rows.text_encoder.") == true)
    }
  }
}
