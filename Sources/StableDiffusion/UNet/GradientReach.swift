/// How far down a piece of the UNet the gradient goes, fixed when the model is built.
///
/// Nothing is trained but the context, so below the first cross-attention no gradient is of use: the timestep's
/// embedding, the first convolution and the first blocks are never differentiated, and their weights are packed for
/// forward alone.
enum GradientReach: Sendable {
  /// The piece lies below the first cross-attention, or the model is not to be differentiated at all.
  case nothing
  /// The piece holds the first cross-attention: the gradient ends in its keys and values.
  case context
  /// The gradient goes through to the piece's input.
  case input
}

/// Says of each piece of the UNet, asked from the input upwards, how far its gradient reaches.
struct GradientPath {
  let isDifferentiable: Bool
  /// Whether a cross-attention lies below what comes next.
  private(set) var hasContext = false

  init(isDifferentiable: Bool) { self.isDifferentiable = isDifferentiable }

  /// Whether the next piece's input needs a gradient.
  var inputTakesGradient: Bool { isDifferentiable && hasContext }

  mutating func next(attends: Bool) -> GradientReach {
    defer { hasContext = hasContext || attends }
    if inputTakesGradient { return .input }
    return isDifferentiable && attends ? .context : .nothing
  }
}
