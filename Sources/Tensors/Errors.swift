import struct Foundation.URL

/// Something the user can mend: what is wrong, where, and what to do.
///
/// `description` is the one line that people read: `PLACE: PROBLEM (CAUSE); REMEDY`.
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

  /// Where something is wrong.
  public enum Place: Sendable, Hashable, CustomStringConvertible {
    case file(URL)
    case tensor(String)
    /// A key of a JSON document, or of a file's metadata.
    case key(String)
    /// An option of the program, by its name without the dashes.
    case option(String)

    public var description: String {
      switch self {
      case .file(let url): url.path
      case .tensor(let name): quoted(name)
      case .key(let name): quoted(name)
      case .option(let name): "--" + name
      }
    }
  }

  public let kind: Kind
  /// The outermost first: a file before a tensor in it.
  public private(set) var places: [Place]
  public let problem: String
  /// What to do about it.
  public let remedy: String?
  /// What lies under it: the system's word, or another part's error.
  public let cause: (any Error)?

  public init(
    _ kind: Kind, at places: [Place] = [], _ problem: String, remedy: String? = nil, cause: (any Error)? = nil
  ) {
    self.kind = kind
    self.places = places
    self.problem = problem
    self.remedy = remedy
    self.cause = cause
  }

  public init(
    _ kind: Kind, at place: Place, _ problem: String, remedy: String? = nil, cause: (any Error)? = nil
  ) {
    self.init(kind, at: [place], problem, remedy: remedy, cause: cause)
  }

  /// The same error, seen from further out.
  public func at(_ place: Place) -> UserError {
    var error = self
    error.places.insert(place, at: 0)
    return error
  }

  /// The same error for whoever is at the place already.
  public func inside(_ place: Place) -> UserError {
    var error = self
    error.places.removeAll { $0 == place }
    return error
  }

  /// One line, whatever the names and texts of others in it hold.
  public var message: String {
    let cause = cause.map { " (\($0))" } ?? ""
    let remedy = remedy.map { "; \($0)" } ?? ""
    let line = places.map { "\($0): " }.joined() + problem + cause + remedy
    return String(String.UnicodeScalarView(line.unicodeScalars.map { $0.isControl ? "?" : $0 }))
  }

  public var description: String { message }
}

extension Unicode.Scalar {
  /// Whether a terminal would do something else with it than show it.
  fileprivate var isControl: Bool {
    switch properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }
}

/// A name out of an untrusted file, fit to stand in a line of text: on one line, and not for ever.
package func quoted(_ name: String) -> String {
  let scalars = name.unicodeScalars
  let start = String(String.UnicodeScalarView(scalars.prefix(120).map { $0.isControl ? "?" : $0 }))
  return "'\(start)\(scalars.count > 120 ? "…" : "")'"
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
