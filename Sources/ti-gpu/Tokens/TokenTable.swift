import StableDiffusion
import Tensors

/// A prompt's tokens as a person or a script reads them.
struct TokenTable {
  /// The text encoder's places once filled, or a whole prompt however long.
  private struct Section {
    /// Start, text and end.
    let ids: [Int32]
    let weights: [Float]
  }

  private let tokenizer: CLIPTokenizer
  private let prompt: String
  private let sections: [Section]

  /// A prompt as CLIP's tokenizer takes it.
  init(_ prompt: String, _ tokenizer: CLIPTokenizer) {
    self.tokenizer = tokenizer
    self.prompt = prompt
    let ids = [tokenizer.startToken] + tokenizer.tokens(prompt) + [tokenizer.endToken]
    sections = [Section(ids: ids, weights: ids.map { _ in 1 })]
  }

  /// A prompt in chunks, with weights.
  init(_ prompt: String, chunks: [PromptChunk], _ tokenizer: CLIPTokenizer) {
    self.tokenizer = tokenizer
    self.prompt = prompt
    sections = chunks.map {
      Section(ids: Array($0.ids.prefix($0.count + 2)), weights: Array($0.weights.prefix($0.count + 2)))
    }
  }

  /// The numbers as an array of JSON, one chunk behind the other.
  var json: String { "[" + sections.flatMap(\.ids).map(String.init).joined(separator: ",") + "]" }

  /// Place, number, piece and weight of each token, a line each.
  func lines(names: [String]) -> [String] {
    let room = tokenizer.promptLength - 2
    func line(_ place: Int?, _ id: Int32, _ weight: Float) -> String {
      let name = names.indices.contains(Int(id)) ? quoted(names[Int(id)]) : "?"
      return (place.map(String.init) ?? "-").leftPadded(to: 5) + "\(id)".leftPadded(to: 7) + "  " + name
        + (weight == 1 ? "" : "  x \(weight)")
    }
    var lines = [quoted(prompt)]
    for (index, section) in sections.enumerated() {
      if sections.count > 1 { lines.append("chunk \(index + 1) of \(sections.count)") }
      let (text, weights) = (section.ids.dropFirst().dropLast(), section.weights.dropFirst())
      let tokens = Array(zip(text, weights))
      lines.append(line(0, tokenizer.startToken, 1))
      for (place, token) in tokens.prefix(room).enumerated() { lines.append(line(place + 1, token.0, token.1)) }
      lines.append(line(min(tokens.count, room) + 1, tokenizer.endToken, 1))
      lines.append("\(min(tokens.count, room)) of \(room) places")
      if tokens.count > room {
        lines[lines.count - 1] += "; \(tokens.count - room) tokens past the last:"
        for token in tokens.dropFirst(room) { lines.append(line(nil, token.0, token.1)) }
      }
    }
    return lines
  }
}

extension String {
  fileprivate func leftPadded(to width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}
