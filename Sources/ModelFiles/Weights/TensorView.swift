import Foundation
import Tensors

/// Tensors of one or more files under the names that somebody else knows them by. Nothing is read before it is asked for.
public struct TensorView: Sendable {
  /// Where a tensor is and what is to be done to it.
  struct Place: Sendable {
    let file: any TensorFile
    let name: String
    var shape: Shape
    var steps: [TensorMap.Step] = []
  }

  private static let longestName = 256
  private static let mostParts = 24
  /// Blocks of a place: some thousands of rules, each tried on every name, take minutes.
  private static let mostPlaces = 256

  /// What messages call the whole: the first file.
  public let url: URL
  private(set) var places: [String: Place]
  /// Every place in the tree of names, such as `down_blocks.0` of `down_blocks.0.resnets.0.conv1.weight`.
  private let paths: Set<String>

  /// - Parameter files: at least one; a tensor that two of them hold is `badData`.
  public init(_ files: [any TensorFile]) throws(UserError) {
    guard let first = files.first else { throw UserError(.noInput, "no file of weights was named") }
    var places: [String: Place] = [:]
    for file in files {
      for name in file.names {
        guard let shape = file.shape(of: name) else { continue }
        // Every part of a name is a place in the tree, and so kept.
        guard name.utf8.count <= Self.longestName, name.utf8.count(where: { $0 == UInt8(ascii: ".") }) < Self.mostParts
        else {
          throw UserError(
            .badData, at: [.file(file.url), .tensor(name)], "is too long a name", remedy: "is it the right file?")
        }
        try places.add(name, Place(file: file, name: name, shape: shape))
      }
    }
    self.init(first.url, places)
  }

  private init(_ url: URL, _ places: [String: Place]) {
    self.url = url
    self.places = places
    var paths: Set<String> = []
    for name in places.keys {
      var path = name[...]
      while paths.insert(String(path)).inserted, let dot = path.lastIndex(of: ".") { path = path[..<dot] }
    }
    self.paths = paths
  }

  /// What stands below a place in the tree, under the names it has from there on.
  public func below(_ path: String) -> TensorView {
    let prefix = path + "."
    let inner = places.filter { $0.key.hasPrefix(prefix) }.map { (String($0.key.dropFirst(prefix.count)), $0.value) }
    return TensorView(url, Dictionary(inner, uniquingKeysWith: { first, _ in first }))
  }

  /// The tensors under the names of another layout.
  ///
  /// - Throws: `badData` with a tensor that the map can't be used on, or two that mean the same.
  public func mapped(by map: TensorMap) throws(UserError) -> TensorView {
    var mapped: [String: Place] = [:]
    for (name, place) in places {
      for target in map.targets(of: name) {
        var place = place
        for step in target.steps {
          guard let shape = step.shape(of: place.shape) else {
            throw UserError(
              .badData, at: [.file(place.file.url), .tensor(place.name)],
              "is \(place.shape), which no such tensor can be",
              remedy: "is it the right file?")
          }
          place.shape = shape
          place.steps.append(step)
        }
        try mapped.add(target.name, place)
      }
    }
    return TensorView(url, mapped)
  }

  /// The tensors whose names pass, with their names as they are.
  public func filtered(_ isWanted: (String) -> Bool) -> TensorView {
    TensorView(url, places.filter { isWanted($0.key) })
  }

  /// The tensors that get a name, under it.
  func renamed(_ name: (String) -> String?) -> TensorView {
    let renamed = places.compactMap { old, place in name(old).map { ($0, place) } }
    return TensorView(url, Dictionary(renamed, uniquingKeysWith: { first, _ in first }))
  }

  public var isEmpty: Bool { places.isEmpty }
  public var names: [String] { places.keys.sorted() }

  public func shape(of name: String) -> Shape? { places[name]?.shape }

  /// Whether anything has this name, or stands below it.
  public func contains(_ path: String) -> Bool { paths.contains(path) }

  /// How many places `path.0`, `path.1` ... there are, one after the other; more than any model has are not counted.
  public func count(_ path: String) -> Int {
    var count = 0
    while count < Self.mostPlaces, paths.contains("\(path).\(count)") { count += 1 }
    return count
  }

  /// Throws `badData` where it is missing.
  public func tensor(_ name: String) throws(UserError) -> HostTensor {
    guard let place = places[name] else {
      throw UserError(
        .badData, at: [.file(url), .tensor(name)], "is missing", remedy: "do the weights belong to this configuration?")
    }
    var tensor = try place.file.tensor(place.name)
    for step in place.steps { tensor = step.applied(to: tensor) }
    return tensor
  }
}

extension [String: TensorView.Place] {
  fileprivate mutating func add(_ name: String, _ place: TensorView.Place) throws(UserError) {
    if let other = updateValue(place, forKey: name) {
      throw UserError(
        .badData, at: [.file(place.file.url), .tensor(place.name)], "is there twice, also as \(quoted(other.name))",
        remedy: "make the file again")
    }
  }
}
