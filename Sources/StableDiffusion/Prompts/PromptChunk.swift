/// A part of a prompt that fills the text encoder's places once.
public struct PromptChunk: Sendable, Hashable {
  /// Start, text, end and padding: as many as a prompt has places.
  public let ids: [Int32]
  /// How strong each place's context is to be; start, end and padding have 1.
  public let weights: [Float]
  /// How many places the text has, between start and end.
  public let count: Int

  public var isWeighted: Bool { weights.contains { $0 != 1 } }
}

extension CLIPTokenizer {
  /// A prompt as one chunk without weights; what does not fit is cut.
  public func plainChunk(_ text: String) -> (chunk: PromptChunk, truncated: String?) {
    let encoded = encode(text)
    let count = min(tokens(text).count, encoded.ids.count - 2)
    return (PromptChunk(ids: encoded.ids, weights: encoded.ids.map { _ in 1 }, count: count), encoded.truncated)
  }

  /// A chunk that says nothing.
  public var emptyChunk: PromptChunk { plainChunk("").chunk }

  /// A prompt in as many chunks as it needs, one at least.
  ///
  /// As in AUTOMATIC1111's web UI each part of one weight is cut into tokens by itself, a full chunk ends behind its last
  /// comma where that lies within its last 20 tokens, and a learned word's rows stay together.
  public func chunks(_ prompt: WeightedPrompt) -> [PromptChunk] {
    var chunks = ChunkBuilder(tokenizer: self)
    for part in prompt.parts {
      switch part {
      case .text(let text, let weight): for unit in units(text) { chunks.append(unit, weight: Float(weight)) }
      case .chunkBreak: chunks.end()
      }
    }
    return chunks.finished()
  }
}

/// Puts tokens one after the other into chunks.
private struct ChunkBuilder {
  let room: Int
  private let tokenizer: CLIPTokenizer
  private let comma: Int32?
  private var chunks: [PromptChunk] = []
  private var ids: [Int32] = []
  private var weights: [Float] = []
  private var lastComma: Int?

  /// How far from a full chunk's end a comma may lie to end it.
  private static let commaReach = 20

  init(tokenizer: CLIPTokenizer) {
    self.tokenizer = tokenizer
    room = max(1, tokenizer.promptLength - 2)
    comma = tokenizer.pieces.id(of: "," + BytePairEncoding.endOfWord)
  }

  /// One token, or those of one learned word.
  mutating func append(_ unit: [Int32], weight: Float) {
    let unit = unit.prefix(room)
    // A word may have no rows for an encoder.
    guard let first = unit.first else { return }
    if unit.count == 1, first == comma {
      lastComma = ids.count
    } else if ids.count == room, let comma = lastComma, ids.count - comma <= Self.commaReach {
      end(behind: comma + 1)
    }
    if ids.count + unit.count > room { end() }
    ids += unit
    weights += unit.map { _ in weight }
  }

  mutating func end() { end(behind: ids.count) }

  /// Ends the chunk with its first `count` tokens; the rest begin the next.
  private mutating func end(behind count: Int) {
    let padding = room - count
    chunks.append(
      PromptChunk(
        ids: [tokenizer.startToken] + ids.prefix(count) + [tokenizer.endToken]
          + Array(repeating: tokenizer.padToken, count: padding),
        weights: [1] + weights.prefix(count) + Array(repeating: 1, count: 1 + padding), count: count))
    ids.removeFirst(count)
    weights.removeFirst(count)
    lastComma = nil
  }

  mutating func finished() -> [PromptChunk] {
    if !ids.isEmpty || chunks.isEmpty { end() }
    return chunks
  }
}
