import Tensors

/// Reads a component's `config.json` as diffusers and transformers write it: a flat object, where a missing key means
/// the default that the library had when the key came up.
struct SettingsReader {
  private let container: KeyedDecodingContainer<Key>
  /// What the object configures, for messages: "UNet".
  private let component: String

  struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  init(_ decoder: any Decoder, of component: String) throws {
    container = try decoder.container(keyedBy: Key.self)
    self.component = component
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
      throw UserError(.badData, "the \(component)'s \(key) is \(found), which is not of the expected kind")
    }
  }

  /// Throws unless `key` is missing, null or `known`: settings that would make another model of it.
  func require(_ key: String, _ known: Setting) throws {
    guard let found = try optional(key, Setting.self), found != known, found != .null else { return }
    throw UserError(.badData, "the \(component)'s \(key) is \(found), only \(known) is supported")
  }
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
      // A list that says the same for every level says it once.
      self = values.dropFirst().allSatisfy { $0 == values[0] } && !values.isEmpty ? values[0] : .list(values)
    } else {
      self = .other
    }
  }

  var description: String {
    switch self {
    case .null: "null"
    case .flag(let value): "\(value)"
    case .number(let value): value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
    case .text(let value): "\"\(value)\""
    case .list(let values): "[" + values.map(\.description).joined(separator: ", ") + "]"
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

  /// The number of each of `count` levels.
  func expanded(to count: Int) -> [Int] {
    switch self {
    case .same(let value): Array(repeating: value, count: count)
    case .each(let values): values
    }
  }
}
