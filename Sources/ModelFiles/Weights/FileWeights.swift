import Foundation
import Synchronization
import Tensors

/// Weights out of a safetensors file, or out of the several that a large model is split into.
public final class FileWeights: WeightSource, Sendable {
  private let names: TensorNames
  /// By canonical name: the file, and the name in it.
  private let places: [String: (file: SafetensorsFile, name: String)]
  private let taken = Mutex<Set<String>>([])
  /// What messages call the source.
  private let title: URL
  private let warn: @Sendable (String) -> Void

  /// - Parameters:
  ///   - files: at least one; a tensor that two of them hold under names of one meaning is `badData`.
  ///   - names: which spellings mean the same, and what is to be ignored.
  ///   - warn: told by `finish` what was passed over.
  public init(
    _ files: [SafetensorsFile], names: TensorNames = .plain, warn: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(UserError) {
    guard let first = files.first else { throw UserError(.noInput, "no file of weights was named") }
    self.names = names
    self.warn = warn
    title = first.url
    var places: [String: (file: SafetensorsFile, name: String)] = [:]
    for file in files {
      for name in file.names {
        let canonical = names.canonical(name)
        if let other = places.updateValue((file, name), forKey: canonical) {
          throw UserError(
            .badData, at: [.file(file.url), .tensor(name)], "is there twice, also as \(quoted(other.name))",
            remedy: "make the file again")
        }
      }
    }
    self.places = places
  }

  public convenience init(_ file: SafetensorsFile, names: TensorNames = .plain) throws(UserError) {
    try self.init([file], names: names)
  }

  public func take(_ name: String, _ shape: Shape) throws(UserError) -> HostTensor {
    let canonical = names.canonical(name)
    guard let place = places[canonical] else {
      throw UserError(
        .badData, at: [.file(title), .tensor(name)], "is missing",
        remedy: "do the weights belong to this configuration?")
    }
    let found = place.file.shape(of: place.name)
    guard found == shape else {
      throw UserError(
        .badData, at: [.file(place.file.url), .tensor(place.name)],
        "is \(found ?? []), but the configuration asks for \(shape)")
    }
    taken.withLock { _ = $0.insert(canonical) }
    return try place.file.tensor(place.name)
  }

  public func contains(_ name: String) -> Bool { places[names.canonical(name)] != nil }

  public func finish(passingOver paths: [String]) throws(UserError) {
    let taken = taken.withLock { $0 }
    let passedOver = paths.map { names.canonical($0) }
    let left = places.filter { place in
      !taken.contains(place.key) && !names.ignored.contains(place.key)
        && !passedOver.contains { place.key == $0 || place.key.hasPrefix($0 + ".") }
    }
    func isSurplus(_ name: String) -> Bool { names.surplus.contains { name.hasPrefix($0) } }
    let unknown = left.filter { !isSurplus($0.key) }
    guard unknown.isEmpty else {
      throw UserError(
        .badData, at: .file(title), "has tensors that the configuration does not know: \(Self.some(unknown))",
        remedy: "do they belong together?")
    }
    if !left.isEmpty { warn("\(title.path): tensors that are not needed are passed over: \(Self.some(left))") }
  }

  /// The first names, and how many more there are.
  private static func some(_ places: [String: (file: SafetensorsFile, name: String)]) -> String {
    let names = places.values.map(\.name).sorted()
    return names.prefix(3).map(quoted).joined(separator: ", ") + (names.count > 3 ? " and \(names.count - 3) more" : "")
  }
}
