import Dispatch
import Foundation
import Synchronization

/// What asks the program to stop: Ctrl-C, SIGTERM, a terminal that closes (SIGHUP), a reader of its output that goes away
/// (SIGPIPE). The first asks the work to save and stop, the second ends it at once.
final class Interrupt {
  private static let signals = [SIGINT, SIGTERM, SIGHUP]
  /// The signal that came first; 0 where none did.
  private static let requested = Atomic<Int32>(0)

  private let sources: [any DispatchSourceSignal]

  /// Whether the work was asked to stop.
  var isRequested: Bool { Self.requested.load(ordering: .relaxed) != 0 }

  /// What a shell expects of a program that the signal ended.
  static var exitCode: Int32 {
    let number = requested.load(ordering: .relaxed)
    return 128 + (number == 0 ? SIGINT : number)
  }

  /// - Parameter message: what is said when the first signal comes.
  init(_ message: String) {
    // A file that may grow no further is a failed write, not the program's end.
    signal(SIGXFSZ, SIG_IGN)
    sources = Self.signals.map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        guard Self.request(number) else { _exit(128 + number) }
        Console.note((Console.isTerminal ? "\n" : "") + message)
      }
      source.resume()
      return source
    }
  }

  deinit {
    for source in sources { source.cancel() }
    for number in Self.signals { signal(number, SIG_DFL) }
  }

  /// A reader of the output is gone: there is nobody left to work for.
  static func readerIsGone() { _ = request(SIGPIPE) }

  /// Notes a request to stop; false where there was one before.
  private static func request(_ number: Int32) -> Bool {
    requested.compareExchange(expected: 0, desired: number, ordering: .relaxed).exchanged
  }
}
