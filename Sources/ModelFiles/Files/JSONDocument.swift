import Foundation
import Tensors

extension Decodable {
  /// Decodes a JSON document. Python writes infinity as `Infinity`, as schedulers' files have it, which only JSON5 knows.
  ///
  /// - Throws: `UserError(.badData)` with the key that is wrong; what the type's own decoding throws is passed on.
  public init(json data: Data) throws(UserError) {
    // Foundation's reader of JSON5 ends the process at bytes that are no UTF-8.
    guard String(validating: data, as: UTF8.self) != nil else {
      throw UserError(.badData, "is not UTF-8 text", remedy: "fetch or mend the file")
    }
    let decoder = JSONDecoder()
    decoder.allowsJSON5 = true
    do {
      self = try decoder.decode(Self.self, from: data)
    } catch let error as UserError {
      throw error
    } catch DecodingError.dataCorrupted(let context) where context.codingPath.isEmpty {
      // Foundation says no more where a number is too large or not whole for what it is to be.
      let isSound = (try? JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)) != nil
      throw UserError(
        .badData, isSound ? "has a number that is too large, or not whole, for its place" : "is not sound JSON",
        remedy: "fetch or mend the file")
    } catch let error as DecodingError {
      throw UserError(error)
    } catch {
      throw UserError(.badData, "is not sound JSON", remedy: "fetch or mend the file")
    }
  }

  /// Decodes a JSON file, with the same promises; the error names the file.
  public init(jsonFile url: URL) throws(UserError) {
    let data = try Data(contentsOfInput: url, limit: 16 << 20)
    do throws(UserError) { try self.init(json: data) } catch { throw error.at(.file(url)) }
  }
}

extension UserError {
  /// What a decoder found, with the key it found it at.
  fileprivate init(_ error: DecodingError) {
    let (path, problem): ([any CodingKey], String) =
      switch error {
      case .keyNotFound(let key, let context): (context.codingPath + [key], "is missing")
      case .valueNotFound(_, let context): (context.codingPath, "is null where a value is needed")
      case .typeMismatch(let type, let context): (context.codingPath, "is not \(Self.word(for: type))")
      case .dataCorrupted(let context): (context.codingPath, context.debugDescription)
      @unknown default: ([], "is not sound JSON")
      }
    let key = path.map(\.stringValue).joined(separator: ".")
    self.init(.badData, at: key.isEmpty ? [] : [.key(key)], problem, remedy: "fetch or mend the file")
  }

  /// What a person calls a decoded type.
  package static func word(for type: any Any.Type) -> String {
    switch type {
    case is any BinaryInteger.Type: "a whole number"
    case is any BinaryFloatingPoint.Type: "a number"
    case is String.Type: "text"
    case is Bool.Type: "true or false"
    case is [Any].Type: "a list"
    default: "an object"
    }
  }
}
