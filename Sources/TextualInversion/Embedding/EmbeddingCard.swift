import Foundation
import Images
import ModelFiles
import Tensors

/// A card of the web UIs: a picture that carries a word, in a text chunk of the PNG file and, for where those get lost, in the
/// low bits of the pixels of a strip at either side (AUTOMATIC1111's `image_embedding.py` is the format's only definition).
///
/// A card comes from anywhere: file, picture, text and numbers are bounded.
public struct EmbeddingCard: Sendable {
  /// By their keys with dots between them: `string_to_param.*`.
  package let tensors: [(name: String, tensor: HostTensor)]
  /// `name`, `step` and what else is text or a whole number.
  package let texts: [String: String]

  static let keyword = "sd-ti-embedding"
  package static let fileLimit = 64 << 20
  /// The longest JSON text: some hundred vectors take that much.
  static let textLimit = 8 << 20
  /// The most pixels: 4096 x 4096.
  static let pixelLimit = 1 << 24

  /// Reads a PNG file's bytes.
  ///
  /// - Returns: nil for a picture that carries no word.
  /// - Throws: `UserError(.badData)` for a damaged file, and for a card that does.
  public init?(_ png: Data) throws(UserError) {
    let encoded = try PNGText.text(Self.keyword, in: png, limit: Self.textLimit / 3 * 4 + 4)
    let json: Data
    if let encoded {
      guard let decoded = Data(base64Encoded: encoded, options: .ignoreUnknownCharacters) else {
        throw UserError(
          .badData, "the text of its card is no base64", remedy: "fetch the card again, as the file that it was")
      }
      json = decoded
    } else {
      let picture = try Picture(decoding: png, pixelLimit: Self.pixelLimit)
      guard let hidden = CardStrips.read(picture),
        let text = try? Zlib.inflate(hidden, limit: Self.textLimit)
      else { return nil }
      json = text
    }
    do throws(JSONText.Malformed) { (tensors, texts) = try Self.parsed([UInt8](json)) } catch {
      throw UserError(.badData, error.reason, remedy: "fetch the card again, as the file that it was")
    }
  }

  /// A card of a word.
  ///
  /// - Parameters:
  ///   - texts: such as `name`, `sd_checkpoint`; those that are whole numbers and `step` go out as numbers.
  ///   - picture: what it shows.
  /// - Returns: a PNG file's bytes.
  static func encode(name: String, rows: HostTensor, texts: [String: String], on picture: Picture) throws(UserError)
    -> Data
  {
    let json = Self.json(name: name, rows: rows, texts: texts)
    guard json.count <= textLimit else {
      throw UserError(.badData, "\(rows.shape.rows) vectors are too many for a card", remedy: "choose another format")
    }
    // In few rows a column of the strips might have no low bits by chance.
    guard picture.height >= 32 else {
      throw UserError(
        .badData, "a picture of \(picture.width)x\(picture.height) is too low for a card", remedy: "take a larger one")
    }
    let card = try CardStrips.drawn(Zlib.deflate(json), beside: picture)
    guard card.width * card.height <= pixelLimit else {
      throw UserError(
        .badData, "a picture of \(picture.width)x\(picture.height) makes too large a card", remedy: "take a smaller one"
      )
    }
    return try card.encodedPNG(text: [keyword: json.base64EncodedString()])
  }

  // MARK: JSON

  /// Reads the JSON text: dictionaries, in which `{"TORCHTENSOR": [[...]]}` is a tensor.
  private static func parsed(_ json: [UInt8]) throws(JSONText.Malformed) -> (
    [(name: String, tensor: HostTensor)], [String: String]
  ) {
    var text = JSONText(json, of: "the card")
    var tensors: [(name: String, tensor: HostTensor)] = []
    var texts: [String: String] = [:]
    func object(_ prefix: String, _ depth: Int, _ text: inout JSONText) throws(JSONText.Malformed) {
      try text.object { (key: String, text: inout JSONText) throws(JSONText.Malformed) in
        // Longer keys are no names, and repeated often enough they would fill the memory.
        guard key.utf8.count <= 128, texts.count < 1024, tensors.count < 1024 else {
          throw JSONText.Malformed(reason: "the card has keys too long or too many for a word's")
        }
        let name = prefix.isEmpty ? key : prefix + "." + key
        if key == "TORCHTENSOR" {
          tensors.append((prefix, try tensor(&text)))
        } else {
          switch text.next {
          case "{" where depth < 4: try object(name, depth + 1, &text)
          case "\"": texts[name] = try text.string()
          case let first? where first.isNumber || first == "-":
            let number = try text.number()
            if let whole = Int(exactly: number) { texts[name] = "\(whole)" }
          default: try text.skip()
          }
        }
      }
    }
    try object("", 0, &text)
    try text.end()
    return (tensors, texts)
  }

  /// A list of numbers, or one of lists of equally many.
  private static func tensor(_ text: inout JSONText) throws(JSONText.Malformed) -> HostTensor {
    var values: [Float] = []
    var rows: [Int] = []
    var isFlat = true
    try text.array { text throws(JSONText.Malformed) in
      let start = values.count
      if text.next == "[" {
        isFlat = false
        try text.array { text throws(JSONText.Malformed) in values.append(Float(try text.number())) }
        rows.append(values.count - start)
      } else {
        values.append(Float(try text.number()))
        rows.append(1)
      }
    }
    if isFlat { return HostTensor([values.count], values) }
    guard let width = rows.first, rows.allSatisfy({ $0 == width }) else {
      throw JSONText.Malformed(reason: "the card has rows of different lengths")
    }
    return HostTensor([rows.count, width], values)
  }

  /// The text as the web UI writes it; floats are written as Python writes them, in the digits that a double needs.
  private static func json(name: String, rows: HostTensor, texts: [String: String]) -> Data {
    let numbers = (0..<rows.shape.rows).map { row in
      let values = rows.values[row * rows.shape.channels..<(row + 1) * rows.shape.channels]
      return "[" + values.map { Double($0).description }.joined(separator: ", ") + "]"
    }
    let fields = WebUIText.fields(name: name, texts: texts).map { key, value in
      let text =
        switch value {
        case .integer(let number): "\(number)"
        case .text(let text): JSONText.quoted(text)
        default: "null"
        }
      return "\(JSONText.quoted(key)): \(text)"
    }
    return Data(
      """
      {"string_to_token": {"*": 265}, "string_to_param": {"*": {"TORCHTENSOR": [\(numbers.joined(separator: ", "))]}}, \
      \(fields.joined(separator: ", "))}
      """.utf8)
  }
}

/// What the web UIs' files say beside the rows.
enum WebUIText {
  static let keys = ["step", "sd_checkpoint", "sd_checkpoint_name"]

  static func fields(name: String, texts: [String: String]) -> [(key: String, value: TorchValue)] {
    [("name", .text(name))]
      + keys.map { key in
        guard let text = texts[key] else { return (key, .none) }
        return (key, key == "step" ? Int(text).map(TorchValue.integer) ?? .none : .text(text))
      }
  }
}
