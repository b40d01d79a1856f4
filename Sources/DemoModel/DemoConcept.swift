import Foundation

/// The example concepts, and what teaches each.
public enum DemoConcept: String, Sendable, CaseIterable {
  case myCat = "my-cat"
  case nightTree = "night-tree"
  case rocketToy = "rocket-toy"
  case lineStyle = "line-style"

  /// What teaches a concept, beside the settings that every run has.
  public struct Recipe: Sendable {
    /// `object`, `style` or `subject`.
    public let kind: String
    public let initializer: String
  }

  /// The folder of the concept's pictures.
  public var folder: URL { DemoModel.concepts.appendingPathComponent(rawValue) }

  public var recipe: Recipe {
    switch self {
    case .myCat: Recipe(kind: "subject", initializer: "cat")
    case .nightTree: Recipe(kind: "object", initializer: "tree")
    case .rocketToy: Recipe(kind: "object", initializer: "rocket")
    case .lineStyle: Recipe(kind: "style", initializer: "line")
    }
  }

  /// The concepts' names, for messages.
  public static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}
