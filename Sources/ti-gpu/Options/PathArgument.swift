import ArgumentParser
import Foundation

/// A path as an option's value. The empty one, a variable of the shell that was not set, would mean the working folder and
/// is refused.
struct PathArgument: ExpressibleByArgument, ExpressibleByStringLiteral, CustomStringConvertible {
  /// The path as it was given.
  let text: String

  init?(argument: String) {
    if argument.isEmpty { return nil }
    text = argument
  }

  init(stringLiteral value: StaticString) { text = "\(value)" }

  var url: URL { URL(fileURLWithPath: text) }
  var description: String { text }
}
