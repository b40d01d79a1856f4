import Dispatch
import Foundation
import Synchronization

/// Ctrl-C and SIGTERM: the first asks the work to save and stop, the second ends it at once.
final class Interrupt {
  /// What a shell expects of a program that Ctrl-C ended.
  static let exitCode: Int32 = 128 + SIGINT

  private let flag: Flag
  private let sources: [any DispatchSourceSignal]

  /// Whether the work was asked to stop.
  var isRequested: Bool { flag.value.load(ordering: .relaxed) }

  init(_ message: String) {
    let flag = Flag()
    self.flag = flag
    sources = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        if flag.value.exchange(true, ordering: .relaxed) { _exit(Interrupt.exitCode) }
        Console.note("\n" + message)
      }
      source.resume()
      return source
    }
  }

  deinit {
    for source in sources { source.cancel() }
    for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
  }

  private final class Flag: Sendable {
    let value = Atomic(false)
  }
}
