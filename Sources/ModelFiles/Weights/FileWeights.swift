import Foundation
import Synchronization
import Tensors

/// Weights out of files, which know each other by the names of a `ComponentNaming`.
public final class FileWeights: WeightSource, Sendable {
  private let view: TensorView
  private let naming: ComponentNaming
  private let taken = Mutex<Set<String>>([])
  private let warn: @Sendable (String) -> Void

  /// - Parameters:
  ///   - view: the tensors, as the files name them.
  ///   - naming: which spellings mean the same, and what is to be ignored.
  ///   - warn: told by `finish` what was passed over.
  public init(
    _ view: TensorView, naming: ComponentNaming = .plain, warn: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(UserError) {
    self.view = try view.mapped(by: naming.map)
    self.naming = naming
    self.warn = warn
  }

  public func take(_ name: String, _ shape: Shape) throws(UserError) -> HostTensor {
    if let place = view.places[name], place.shape != shape {
      throw UserError(
        .badData, at: [.file(place.file.url), .tensor(place.name)],
        "is \(place.shape), but the configuration asks for \(shape)")
    }
    let tensor = try view.tensor(name)
    taken.withLock { _ = $0.insert(name) }
    return tensor
  }

  public func contains(_ name: String) -> Bool { view.places[name] != nil }

  public func finish(passingOver paths: [String]) throws(UserError) {
    let taken = taken.withLock { $0 }
    func isBelow(_ name: String, _ paths: [String]) -> Bool {
      paths.contains { name == $0 || name.hasPrefix($0 + ".") }
    }
    let left = view.places.filter { !taken.contains($0.key) && !isBelow($0.key, naming.ignored + paths) }
    let unknown = left.filter { !isBelow($0.key, naming.surplus) }
    guard unknown.isEmpty else {
      throw UserError(
        .badData, at: .file(view.url), "has tensors that the configuration does not know: \(Self.some(unknown))",
        remedy: "do they belong together?")
    }
    if !left.isEmpty { warn("\(view.url.path): tensors that are not needed are passed over: \(Self.some(left))") }
  }

  /// The first names, and how many more there are.
  private static func some(_ places: [String: TensorView.Place]) -> String {
    let names = places.values.map(\.name).sorted()
    return names.prefix(3).map(quoted).joined(separator: ", ") + (names.count > 3 ? " and \(names.count - 3) more" : "")
  }
}
