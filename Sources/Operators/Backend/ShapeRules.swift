import Tensors

/// Throws `invalidShape` in the name of `operation` unless `condition` holds.
@inlinable
public func require(
  _ condition: Bool, _ operation: StaticString, _ message: @autoclosure () -> String
) throws(OperationError) {
  if !condition { throw OperationError(.invalidShape, "\(operation)", message()) }
}
