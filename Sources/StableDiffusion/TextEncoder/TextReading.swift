import Operators
import Tensors

/// What of a text encoder is read.
public struct TextReading: Sendable, Hashable {
  public var hiddenState: HiddenState
  /// How the text is pooled; nil where no pooled text is read.
  public var pooling: TextPooling?

  public init(_ hiddenState: HiddenState = .last, pooling: TextPooling? = nil) {
    self.hiddenState = hiddenState
    self.pooling = pooling
  }
}

/// The hidden state that the context is.
public enum HiddenState: Sendable, Hashable {
  /// Behind the last layer, normalized: Stable Diffusion 1 and 2.
  case last
  /// Before the last layer, as it is: Stable Diffusion XL.
  case penultimate
}

/// Where in a prompt its pooled text is taken.
public enum TextPooling: String, Sendable, Hashable, Codable, CaseIterable {
  /// At the first end of text.
  case endOfText = "end-of-text"
  /// At the first of the highest ids, as transformers does for models whose `eos_token_id` is 2, SDXL's own among them. The end
  /// of text has the highest id of the vocabulary, but a word in training has a higher one, and then it is taken there.
  case highestID = "highest-id"

  /// The position in each prompt.
  ///
  /// - Throws: `invalidShape` where a prompt has no end of text.
  func positions(_ tokens: TokenBatch, endOfText: Int) throws(OperationError) -> [Int] {
    var positions: [Int] = []
    for prompt in 0..<tokens.batch {
      let ids = tokens.ids[prompt * tokens.length..<(prompt + 1) * tokens.length]
      let sought = self == .endOfText ? Int32(clamping: endOfText) : ids.max()
      guard let position = ids.firstIndex(where: { $0 == sought }) else {
        throw OperationError(.invalidShape, "TextPooling", "prompt \(prompt) has no end of text, token \(endOfText)")
      }
      positions.append(position - ids.startIndex)
    }
    return positions
  }
}
