import Images
import Tensors

/// What of the pictures is learned, and in which shapes.
public struct PictureSetSettings: Sendable, Hashable, Codable {
  /// Whether pictures that are no squares keep about their shape (`AspectBuckets`), instead of becoming squares.
  public var buckets = true
  /// What pictures' transparent parts are to the run.
  public var alpha = AlphaUse.over(.white)
  /// The folders among the pictures that each teach a word of their own; none where all pictures teach the settings' word.
  public var concepts: [TaughtFolder] = []

  public init() {}

  /// That of runs from before there were such settings.
  static let earlier: PictureSetSettings = {
    var settings = PictureSetSettings()
    settings.buckets = false
    settings.alpha = .ignored
    return settings
  }()

  /// From a file; what it does not name is as it was before there was such a setting.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    buckets = try container.decodeIfPresent(Bool.self, forKey: .buckets) ?? Self.earlier.buckets
    alpha = try container.decodeIfPresent(AlphaUse.self, forKey: .alpha) ?? Self.earlier.alpha
    concepts = try container.decodeIfPresent([TaughtFolder].self, forKey: .concepts) ?? []
  }
}

/// What is done about pictures' transparent parts. In text: `mask`, `ignore`, or the color that they are laid over.
public enum AlphaUse: Sendable, Hashable, Codable {
  /// The picture is laid over a color.
  case over(Color)
  /// Laid over white, the picture counts in the loss as much as it hides: transparent parts are not learned.
  case mask
  /// The colors beneath are learned, which nobody sees.
  case ignored

  private static let colors: [(name: String, color: Color)] = [
    ("white", .white), ("black", .black), ("grey", Color(128, 128, 128)),
  ]

  /// From `mask`, `ignore`, `white`, `black`, `grey` or `#RRGGBB`.
  public init?(_ text: String) {
    switch text.lowercased() {
    case "mask": self = .mask
    case "ignore": self = .ignored
    case "gray": self = .over(Color(128, 128, 128))
    case let name:
      if let named = Self.colors.first(where: { $0.name == name }) {
        self = .over(named.color)
        return
      }
      let digits = name.dropFirst()
      guard name.hasPrefix("#"), digits.count == 6, digits.allSatisfy(\.isHexDigit), let number = Int(digits, radix: 16)
      else { return nil }
      self = .over(Color(UInt8(number >> 16), UInt8(number >> 8 & 255), UInt8(number & 255)))
    }
  }

  public var text: String {
    switch self {
    case .mask: return "mask"
    case .ignored: return "ignore"
    case .over(let color):
      if let named = Self.colors.first(where: { $0.color == color }) { return named.name }
      let number = Int(color.red) << 16 | Int(color.green) << 8 | Int(color.blue)
      let digits = String(number, radix: 16)
      return "#" + String(repeating: "0", count: 6 - digits.count) + digits
    }
  }

  public init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let use = AlphaUse(text) else {
      throw UserError(.badData, at: .key("alpha"), "\(quoted(text)) is neither mask, ignore nor a colour")
    }
    self = use
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }
}
