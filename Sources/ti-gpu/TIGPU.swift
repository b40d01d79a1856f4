import ArgumentParser
import Foundation
import Operators
import Tensors

/// The program's commands.
struct TIGPU: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ti-gpu",
    abstract: "Teaches a Stable Diffusion model a new word from a few pictures.",
    discussion: """
      The model stays as it is; what is learned is a file of a few kilobytes that every Stable Diffusion tool loads.

        ti-gpu demo
        ti-gpu train --model ./sd15 --images ./toy --token '<toy>' --initializer toy --output ./run
        ti-gpu generate --model ./sd15 --embedding ./run/learned_embeds.safetensors \\
          --prompt 'a photo of <toy> on a beach' --output beach.png
      """,
    subcommands: [Train.self, Generate.self, Demo.self, Devices.self, Bench.self])
}

@main
enum Program {
  static func main() {
    // A reader that goes away is met as a failed write, so that the work can be saved.
    signal(SIGPIPE, SIG_IGN)
    do {
      var command = try TIGPU.parseAsRoot()
      try command.run()
    } catch {
      exit(report(error))
    }
  }

  /// Says what went wrong in one line on standard error, and returns the exit code for it.
  private static func report(_ error: any Error) -> Int32 {
    switch error {
    case let error as UserError:
      Console.error(error.message)
      return error.kind.rawValue
    case let error as OperationError:
      // A bug of ours or of a driver, unless the device is simply too small.
      let advice = error.code == .outOfMemory ? " (try a smaller --resolution or --batch-size, or --precision f16)" : ""
      Console.error("\(error)\(advice)")
      return 70
    case is CancellationError:
      return Interrupt.exitCode
    case let error as ExitCode:
      return error.rawValue
    default:
      let code = TIGPU.exitCode(for: error)
      if code == .success {
        print(TIGPU.fullMessage(for: error))
      } else {
        Console.error(TIGPU.message(for: error).split(separator: "\n").first.map(String.init) ?? "\(error)")
      }
      return code.rawValue
    }
  }
}
