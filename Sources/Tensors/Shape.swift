/// The lengths of a tensor's axes, outermost first. Pictures and feature maps are `[batch, height, width, channels]`.
///
/// Any numbers make a shape. One whose elements can't be counted, for a negative axis or a product beyond 64 bits, has
/// `Int.max` elements: no memory holds it, and no list of values is that long.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
  public let dimensions: [Int]
  /// The number of elements: the product of all axes, 1 for a scalar.
  public let count: Int

  public init(_ dimensions: [Int]) {
    self.dimensions = dimensions
    count = Shape.product(dimensions)
  }

  public init(arrayLiteral elements: Int...) { self.init(elements) }

  /// The number of axes.
  public var rank: Int { dimensions.count }

  /// The innermost axis: channels of a feature map, width of a row of tokens; 1 for a scalar.
  public var channels: Int { dimensions.last ?? 1 }

  /// The number of innermost rows: `count / channels`.
  public var rows: Int { Shape.product(dimensions.dropLast()) }

  /// Bytes that the elements take.
  public func byteCount(_ type: ElementType) -> Int { Shape.product([count, type.size]) }

  public subscript(_ axis: Int) -> Int { dimensions[axis] }

  /// The same shape with another innermost axis.
  public func withChannels(_ channels: Int) -> Shape { Shape(dimensions.dropLast() + [channels]) }

  public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }

  private static func product(_ factors: some Sequence<Int>) -> Int {
    var product = 1
    var isCountable = true
    for factor in factors {
      let (next, overflow) = product.multipliedReportingOverflow(by: factor)
      isCountable = isCountable && factor >= 0 && !overflow
      product = overflow ? .max : next
    }
    return isCountable ? product : .max
  }
}
