import Foundation

/// The example concepts, with the settings that teach each well; how they were found is in Tools/demo-model/README.md.
public enum DemoConcept: String, Sendable, CaseIterable {
  case myCat = "my-cat"
  case nightTree = "night-tree"
  case rocketToy = "rocket-toy"
  case lineStyle = "line-style"

  /// What teaches a concept: AdamW at a constant rate over batches of `batchSize`.
  public struct Recipe: Sendable {
    /// `object`, `style` or `subject`.
    public let kind: String
    public let initializer: String
    public let vectors: Int
    public let learningRate: Float
    public let steps: Int
    public let batchSize: Int
  }

  /// The folder of the concept's pictures.
  public var folder: URL { DemoModel.concepts.appendingPathComponent(rawValue) }

  public var recipe: Recipe {
    switch self {
    case .myCat:
      Recipe(kind: "subject", initializer: "cat", vectors: 4, learningRate: 1e-2, steps: 600, batchSize: 4)
    case .nightTree:
      Recipe(kind: "object", initializer: "dotted tree", vectors: 3, learningRate: 5e-3, steps: 400, batchSize: 4)
    case .rocketToy:
      Recipe(kind: "object", initializer: "striped rocket", vectors: 3, learningRate: 5e-3, steps: 400, batchSize: 4)
    case .lineStyle:
      Recipe(kind: "style", initializer: "line", vectors: 1, learningRate: 2e-2, steps: 300, batchSize: 4)
    }
  }

  /// The concepts' names, for messages.
  public static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}
