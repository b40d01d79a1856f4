import Tensors

/// How the names of one layout of a model's tensors map onto another's, as data.
///
///     TensorMap([
///       Rule("transformer.resblocks.*.ln_1", "encoder.layers.*.layer_norm1"),
///       Rule("proj_attn", "to_out.0"),
///     ])
///
/// A rule takes the names that begin with its parts; what follows goes through the map inside it and stays behind. The first rule that takes a
/// name counts, and a name that none takes stays as it is.
public struct TensorMap: Sendable {
  /// What becomes of a tensor on the way.
  public enum Step: Sendable, Hashable {
    /// One of several equal parts, along the first axis: a query of query, key and value packed into one.
    case part(Int, of: Int)
    /// A matrix with its axes exchanged.
    case transposed
    /// A convolution of one pixel as the matrix it is: axes of length one behind the second fall away.
    case matrix
  }

  public struct Rule: Sendable {
    /// The parts of a name that it begins with; `*` takes any one.
    fileprivate let pattern: [Substring]
    /// What they become, with each `*` as it was: one tensor, or several made of one.
    fileprivate let targets: [(name: [Substring], steps: [Step])]
    fileprivate let inside: TensorMap

    public init(_ pattern: String, _ target: String, _ steps: Step..., inside: TensorMap = .identity) {
      self.init(pattern, [target], steps: [steps], inside: inside)
    }

    /// One tensor that is several, each a part of its rows.
    public init(_ pattern: String, splitInto targets: [String]) {
      self.init(pattern, targets, steps: targets.indices.map { [.part($0, of: targets.count)] }, inside: .identity)
    }

    private init(_ pattern: String, _ targets: [String], steps: [[Step]], inside: TensorMap) {
      self.pattern = pattern.split(separator: ".")
      self.targets = zip(targets, steps).map { ($0.split(separator: "."), $1) }
      self.inside = inside
    }

    /// What each `*` stands for in a name; nil where the rule does not take it.
    fileprivate func match(_ parts: [Substring]) -> [Substring]? {
      guard parts.count >= pattern.count else { return nil }
      var taken: [Substring] = []
      for (known, part) in zip(pattern, parts) {
        if known == "*" { taken.append(part) } else if known != part { return nil }
      }
      return taken
    }
  }

  private let rules: [Rule]

  public init(_ rules: [Rule]) { self.rules = rules }

  /// Every name stays.
  public static let identity = TensorMap([])

  /// What a tensor becomes: its names in the other layout, each with what makes it.
  public func targets(of name: String) -> [(name: String, steps: [Step])] {
    targets(of: name.split(separator: ".", omittingEmptySubsequences: false))
      .map { ($0.name.joined(separator: "."), $0.steps) }
  }

  private func targets(of parts: [Substring]) -> [(name: [Substring], steps: [Step])] {
    for rule in rules {
      guard let taken = rule.match(parts) else { continue }
      let rest = rule.inside.targets(of: Array(parts.dropFirst(rule.pattern.count)))
      return rule.targets.flatMap { target in
        var open = taken[...]
        let name = target.name.map { $0 == "*" ? open.popFirst() ?? $0 : $0 }
        return rest.map { (name + $0.name, target.steps + $0.steps) }
      }
    }
    return [(parts, [])]
  }
}

extension TensorMap.Step {
  /// The shape that comes of one; nil where the step can't be taken.
  func shape(of shape: Shape) -> Shape? {
    switch self {
    case .part(let index, let count):
      guard count > 0, (0..<count).contains(index), let rows = shape.dimensions.first, rows % count == 0 else {
        return nil
      }
      return Shape([rows / count] + shape.dimensions.dropFirst())
    case .transposed: return shape.rank == 2 ? [shape[1], shape[0]] : nil
    case .matrix:
      guard shape.rank >= 2, shape.dimensions.dropFirst(2).allSatisfy({ $0 == 1 }) else { return nil }
      return [shape[0], shape[1]]
    }
  }

  /// - Precondition: `shape(of:)` gives one.
  func applied(to tensor: consuming HostTensor) -> HostTensor {
    guard let shape = shape(of: tensor.shape) else { return tensor }
    switch self {
    case .part(let index, _):
      return HostTensor(shape, Array(tensor.values[index * shape.count..<(index + 1) * shape.count]))
    case .transposed: return tensor.transposed([1, 0])
    case .matrix: return tensor.reshaped(shape)
    }
  }
}
