/// How a word is learned: the rule of update, and the settings that go with it unless others are asked for.
public enum TrainingMethod: String, Sendable, Codable, CaseIterable {
  /// Directions on the sphere of the model's own words; see `Spherical`.
  case spherical
  /// AdamW over the rows as they are, as diffusers' script has it.
  case plain
  /// Adam that finds its own step size; see `Prodigy`.
  case prodigy

  /// What a run takes where nothing else is asked for.
  public struct Defaults: Sendable, Hashable {
    public var vectors: Int
    public var steps: Int
    public var batchSize: Int
    public var learningRate: Float
    public var schedule: LearningRateSchedule
    /// Whether a run ends once its word has settled; `steps` are then what its fall is measured by, see `stopWhenSettled`.
    public var endsWhenSettled = false
  }

  public var defaults: Defaults {
    switch self {
    case .spherical:
      Defaults(vectors: 4, steps: 250, batchSize: 4, learningRate: 0.16, schedule: .cosine, endsWhenSettled: true)
    case .plain: Defaults(vectors: 1, steps: 2000, batchSize: 1, learningRate: 5e-3, schedule: .constant)
    case .prodigy: Defaults(vectors: 1, steps: 1000, batchSize: 4, learningRate: 1, schedule: .cosine)
    }
  }

  /// Spherical training in half the steps of three times the angle: tried on the built-in model alone.
  public static let quick = Defaults(vectors: 4, steps: 120, batchSize: 4, learningRate: 0.5, schedule: .cosine)
}
