/// What a forward pass keeps for the way back.
public enum Keeping: Sendable, Hashable {
  /// Nothing: no backward pass is to follow.
  case nothing
  /// What it was given; backward runs it forward again (Chen et al., "Training deep nets with sublinear memory cost", 2016).
  case input
  /// All that backward reads.
  case all
}

/// What one stage of a UNet keeps: a residual block and the transformer behind it.
public struct StageKeeping: Sendable, Hashable {
  /// `input` runs the whole stage again, whatever the others say.
  public var stage: Keeping
  /// Of each transformer block's perceptron: `input` makes what GEGLU reads, eight times as wide as the stage, again.
  public var perceptron: Keeping = .all
  /// Of each transformer block's self-attention: `input` makes query, key and value again.
  public var attention: Keeping = .all

  static let nothing = StageKeeping(stage: .nothing)
  static let all = StageKeeping(stage: .all)
}

/// What a UNet keeps of a forward pass, stage by stage. Whatever it is, gradients are the same bit for bit: what is run again gives
/// what it gave before.
public struct UNetKeeping: Sendable, Hashable {
  private let whole: StageKeeping
  private var stages: [Int: StageKeeping] = [:]

  private init(_ whole: StageKeeping) { self.whole = whole }

  public static let nothing = UNetKeeping(.nothing)
  public static let all = UNetKeeping(.all)

  /// Everything but what `savings` run again.
  public init(savings: some Sequence<Saving>) {
    self.init(.all)
    for saving in savings {
      var stage = self[saving.stage]
      stage[keyPath: saving.kind.part] = .input
      stages[saving.stage] = stage
    }
  }

  /// What the stage of this number keeps: they are counted as forward runs them.
  subscript(stage: Int) -> StageKeeping { stages[stage] ?? whole }

  /// Something that need not be kept.
  public struct Saving: Sendable, Hashable {
    /// The cheaper to run again for what it saves, the earlier.
    public enum Kind: Int, Sendable, Hashable, CaseIterable {
      case perceptron, attention, stage

      fileprivate var part: WritableKeyPath<StageKeeping, Keeping> {
        switch self {
        case .perceptron: \.perceptron
        case .attention: \.attention
        case .stage: \.stage
        }
      }
    }

    public let kind: Kind
    public let stage: Int
  }
}

extension UNetConfiguration {
  /// All that need not be kept, the cheapest for what it saves first: perceptrons, attention, whole stages, and of each those with most
  /// pixels first.
  public var savings: [UNetKeeping.Saving] {
    var stages: [(level: Int, transformers: Int)] = []
    for (index, level) in levels.enumerated() { stages += level.transformersDown.map { (index, $0) } }
    stages += [(levels.count - 1, middleTransformers), (levels.count - 1, 0)]
    for (index, level) in levels.enumerated().reversed() { stages += level.transformersUp.map { (index, $0) } }
    return UNetKeeping.Saving.Kind.allCases.flatMap { kind in
      levels.indices.flatMap { level in
        stages.indices.filter { stages[$0].level == level && (kind == .stage || stages[$0].transformers > 0) }
          .map { UNetKeeping.Saving(kind: kind, stage: $0) }
      }
    }
  }
}

/// What a layer left of a forward pass.
enum Kept<Input: Sendable, Saved: Sendable>: Sendable {
  /// From which forward makes the rest again.
  case input(Input)
  case all(Saved)
}
