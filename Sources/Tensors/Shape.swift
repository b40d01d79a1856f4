/// The lengths of a tensor's axes, outermost first. Pictures and feature maps are `[batch, height, width, channels]`.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
  public let dimensions: [Int]

  public init(_ dimensions: [Int]) { self.dimensions = dimensions }

  public init(arrayLiteral elements: Int...) { self.init(elements) }

  /// The number of axes.
  public var rank: Int { dimensions.count }

  /// The number of elements: the product of all axes, 1 for a scalar.
  public var count: Int { dimensions.reduce(1, *) }

  /// The innermost axis: channels of a feature map, width of a row of tokens; 1 for a scalar.
  public var channels: Int { dimensions.last ?? 1 }

  /// The number of innermost rows: `count / channels`.
  public var rows: Int { dimensions.dropLast().reduce(1, *) }

  public subscript(_ axis: Int) -> Int { dimensions[axis] }

  /// The same shape with another innermost axis.
  public func withChannels(_ channels: Int) -> Shape { Shape(dimensions.dropLast() + [channels]) }

  public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }
}
