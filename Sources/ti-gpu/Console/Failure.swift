import ArgumentParser
import Foundation
import Operators
import Tensors

/// What ended the program: a line for a person, an object for a script, a code for a shell.
struct Failure: Encodable {
  /// The kind of mistake in a word, such as `no_input`.
  let kind: String
  let exitCode: Int32
  let message: String
  /// Whether the message is on standard error already.
  let isSaid: Bool

  enum CodingKeys: CodingKey { case kind, exitCode, message }

  /// - Parameter arguments: the program's own, to tell which word of them was wrong.
  init(_ error: any Error, arguments: CommandLineArguments) {
    switch error {
    case let error as UserError:
      self.init(kind: error.kind.word, exitCode: error.kind.rawValue, message: error.message)
    case let error as OperationError:
      if error.code == .outOfMemory {
        let advice = "try a smaller --resolution or --batch-size, or --precision f16"
        self.init(kind: "out_of_memory", exitCode: 71, message: "\(error); \(advice)")
      } else {
        // A bug of ours or of a driver.
        self.init(kind: "operation", exitCode: 70, message: "\(error)")
      }
    case is CancellationError:
      self.init(kind: "interrupted", exitCode: Interrupt.exitCode, message: "stopped by a signal", isSaid: true)
    case let error as ExitCode where error.rawValue == Interrupt.exitCode:
      self.init(kind: "interrupted", exitCode: error.rawValue, message: "stopped by a signal", isSaid: true)
    case let error as ExitCode:
      self.init(
        kind: "failure", exitCode: error.rawValue, message: "what is wrong stands on standard error", isSaid: true)
    default:
      let unknown = arguments.unknownCommand ?? arguments.unknownOption ?? arguments.strayWord
      let code = unknown == nil ? TIGPU.exitCode(for: error).rawValue : UserError.Kind.usage.rawValue
      self.init(
        kind: code == UserError.Kind.usage.rawValue ? UserError.Kind.usage.word : "failure", exitCode: code,
        message: unknown ?? Self.usageMessage(error))
    }
  }

  private init(kind: String, exitCode: Int32, message: String, isSaid: Bool = false) {
    self.kind = kind
    self.exitCode = exitCode
    self.message = message
    self.isSaid = isSaid
  }

  /// The parser's message on one line; where a value is wrong, with what its option is for.
  private static func usageMessage(_ error: any Error) -> String {
    let line = TIGPU.message(for: error).split(separator: "\n").joined(separator: " ")
    if line.hasPrefix("The value '' is invalid for") {
      return line + ": it is empty; was a variable of the shell not set?"
    }
    let lines = TIGPU.fullMessage(for: error).split(separator: "\n")
    guard line.hasPrefix("The value "), !line.contains(". Please provide"),
      let help = lines.first(where: { $0.hasPrefix("Help:  ") }),
      let start = help.dropFirst(7).firstRange(of: "  ")
    else { return line }
    return "\(line): \(help[start.upperBound...])"
  }
}

extension UserError.Kind {
  /// The kind as scripts read it.
  fileprivate var word: String {
    switch self {
    case .usage: "usage"
    case .badData: "bad_data"
    case .noInput: "no_input"
    case .noDevice: "no_device"
    case .cannotCreate: "cannot_create"
    case .inputOutput: "input_output"
    }
  }
}
