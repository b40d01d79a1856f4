import ModelFiles
import Tensors

/// Reads a component's `config.json` as diffusers and transformers write it: a flat object, where a missing key means
/// the default that the library had when the key came up. Errors name the key; whoever read the file adds its name.
struct SettingsReader {
  private let container: KeyedDecodingContainer<Key>

  struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// - Parameter inner: an object that the settings may stand in, one level deeper.
  init(_ decoder: any Decoder, within inner: String? = nil) throws {
    let outer = try decoder.container(keyedBy: Key.self)
    container = inner.flatMap { try? outer.nestedContainer(keyedBy: Key.self, forKey: Key(stringValue: $0)) } ?? outer
  }

  /// The value of `key`; `fallback` where it is missing or null.
  func value<T: Decodable>(_ key: String, _ fallback: T) throws -> T {
    try optional(key, T.self) ?? fallback
  }

  /// The value of `key`; nil where it is missing or null.
  func optional<T: Decodable>(_ key: String, _ type: T.Type) throws -> T? {
    do {
      return try container.decodeIfPresent(T.self, forKey: Key(stringValue: key))
    } catch let error as UserError {
      throw error
    } catch {
      let found = (try? container.decode(Setting.self, forKey: Key(stringValue: key))) ?? .other
      let needed =
        if case .list = found { "lists are not supported" } else { "\(UserError.word(for: type)) is needed" }
      throw UserError(.badData, at: .key(key), "\(found), but \(needed)")
    }
  }

  /// Whether `key` is there and null, where that is not the same as missing.
  func isNull(_ key: String) -> Bool {
    (try? container.decodeNil(forKey: Key(stringValue: key))) ?? false
  }

  /// Throws unless `key` is missing, null or `known`: settings that would make another model of it.
  func require(_ key: String, _ known: Setting) throws {
    guard let found = try optional(key, Setting.self)?.once, found != known, found != .null else { return }
    throw UserError(.badData, at: .key(key), "\(found) is not supported, only \(known) is")
  }
}

/// Throws unless a number of a configuration lies where a model's can. The bounds are far beyond any model's, and so
/// narrow that no product of a tensor's sizes leaves 64 bits.
func check<Number: Comparable>(
  _ key: String, _ value: Number, in range: ClosedRange<Number>
) throws(UserError) {
  guard range.contains(value) else {
    throw UserError(.badData, at: .key(key), "\(value) is not between \(range.lowerBound) and \(range.upperBound)")
  }
}

/// What the numbers of configurations may be.
enum SettingRange {
  /// Channels, widths and heads.
  static let size = 1...65_536
  /// Blocks one after the other.
  static let layers = 1...256
  static let levels = 1...8
  /// A sampler needs two to stand between.
  static let timesteps = 2...1_000_000
  static let epsilon: ClosedRange<Float> = .leastNormalMagnitude...1
}

/// One value of a configuration, of whatever kind.
enum Setting: Decodable, Equatable, CustomStringConvertible, ExpressibleByNilLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral
{
  case null
  case flag(Bool)
  case number(Double)
  case text(String)
  case list([Setting])
  case other

  init(nilLiteral: ()) { self = .null }
  init(booleanLiteral value: Bool) { self = .flag(value) }
  init(floatLiteral value: Double) { self = .number(value) }
  init(integerLiteral value: Int) { self = .number(Double(value)) }
  init(stringLiteral value: String) { self = .text(value) }

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .flag(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .text(value)
    } else if let values = try? container.decode([Setting].self) {
      self = .list(values)
    } else {
      self = .other
    }
  }

  /// The value itself, or what a list says for every level: that is saying it once.
  var once: Setting {
    if case .list(let values) = self, let first = values.first, values.allSatisfy({ $0 == first }) {
      first
    } else {
      self
    }
  }

  var description: String {
    switch self {
    case .null: "null"
    case .flag(let value): "\(value)"
    case .number(let value): value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
    case .text(let value): quoted(value)
    case .list(let values): "[" + values.prefix(8).map(\.description).joined(separator: ", ") + "]"
    case .other: "an object"
    }
  }
}

/// A number that configurations give once for all levels or one for each, outermost level first.
enum PerLevel: Decodable {
  case same(Int)
  case each([Int])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let value = try? container.decode(Int.self) {
      self = .same(value)
    } else {
      self = .each(try container.decode([Int].self))
    }
  }

  /// The number of each of `count` levels, as many as are given where each is.
  func expanded(to count: Int) -> [Int] {
    switch self {
    case .same(let value): Array(repeating: value, count: count)
    case .each(let values): values
    }
  }
}

/// A number that configurations give once for all levels, one for each, or one for each block of a level.
enum PerBlock: Decodable {
  case same(Int)
  case each([PerLevel])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let value = try? container.decode(Int.self) {
      self = .same(value)
    } else {
      self = .each(try container.decode([PerLevel].self))
    }
  }

  /// What is given for each of `count` levels, for as many as are given where each is.
  func expanded(to count: Int) -> [PerLevel] {
    switch self {
    case .same(let value): Array(repeating: .same(value), count: count)
    case .each(let values): values
    }
  }
}
