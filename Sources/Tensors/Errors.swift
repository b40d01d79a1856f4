/// Something the user can mend: one line that says what, where and what to do.
public struct UserError: Error, Sendable, CustomStringConvertible {
  /// What went wrong, as the exit code of `sysexits.h` that a script can tell it by.
  public enum Kind: Int32, Sendable {
    case usage = 64
    case badData = 65
    case noInput = 66
    case noDevice = 69
    case cannotCreate = 73
    case inputOutput = 74
  }

  public let kind: Kind
  public let message: String

  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  public var description: String { message }
}

/// An operation that a backend could not carry out.
public struct OperationError: Error, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// The tensors given do not fit the operation: a bug in the caller.
    case invalidShape
    /// The device or the library behind the backend can't do this.
    case unsupported
    case outOfMemory
    /// A call failed; the message names call, kernel and status.
    case deviceFailure
    /// The device is gone or was reset; only a new backend goes on.
    case deviceLost
    /// A kernel did not compile; the message holds the build log.
    case buildFailure
  }

  public let code: Code
  /// The operation or the call that failed, such as `Attention.forward` or `clEnqueueNDRangeKernel`.
  public let operation: String
  public let message: String

  public init(_ code: Code, _ operation: String, _ message: String) {
    self.code = code
    self.operation = operation
    self.message = message
  }

  public var description: String { "\(operation): \(message)" }
}
