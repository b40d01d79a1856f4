import Operators

/// Says of each layer where its gradient goes: made when the model is built, from the names that take one, and asked layer
/// after layer, from the input upwards.
///
/// Weights and picture take none, so below the first layer that reads such a name no gradient is of use: there nothing is
/// differentiated, kept or packed for it.
struct GradientPlan {
  private var names: Set<GradientName>
  /// Whether the result of the layer asked for last takes a gradient: whether anything up to it read a name that does.
  private(set) var resultTakesGradient = false
  private var stages = 0

  init(for names: Set<GradientName>) { self.names = names }

  /// The number of the next stage: what it keeps is looked up by it.
  mutating func nextStage() -> Int {
    defer { stages += 1 }
    return stages
  }

  /// Where the gradient of the next layer goes, which takes the last one's result and reads `inputs` beside it.
  mutating func next(reading inputs: Set<GradientName> = []) -> GradientRoutes {
    let routes = GradientRoutes(toInput: resultTakesGradient, toNames: names.intersection(inputs))
    resultTakesGradient = !routes.isEmpty
    return routes
  }

  /// Where the gradient of a piece goes that reads `inputs` alone, and whose result layers read as `name`.
  mutating func aside(_ name: GradientName, reading inputs: Set<GradientName>) -> GradientRoutes {
    let routes = GradientRoutes(toInput: false, toNames: names.intersection(inputs))
    if !routes.isEmpty { names.insert(name) }
    return routes
  }
}

/// Where a layer's gradient goes. What the layer keeps and what its weights are packed for follows from it.
struct GradientRoutes: Sendable {
  /// Whether to the layer's input, and so to the layer below.
  let toInput: Bool
  /// To what else the layer reads.
  let toNames: Set<GradientName>

  /// Nothing is differentiated.
  static let none = GradientRoutes(toInput: false, toNames: [])

  var isEmpty: Bool { !toInput && toNames.isEmpty }

  /// What to pack weights for that every gradient of the layer goes through.
  var directions: Directions { isEmpty ? .forward : .both }
  /// What to pack weights for that the input's gradient alone goes through.
  var inputDirections: Directions { toInput ? .both : .forward }

  /// What a layer is to keep for the gradients that it has, if a backward pass is to follow.
  func kept<Saved>(_ saved: @autoclosure () -> Saved, if keeps: Bool) -> Saved? {
    keeps && !isEmpty ? saved() : nil
  }
}
