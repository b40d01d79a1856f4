import ArgumentParser
import Foundation
import TextualInversion

/// The program's commands.
struct TIGPU: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ti-gpu",
    abstract: "Teaches a Stable Diffusion model a new word from a few pictures.",
    discussion: """
      The model stays as it is; what is learned is a file of a few kilobytes that every Stable Diffusion tool loads.

        ti-gpu demo
        ti-gpu train --model ./sd15 --images ./toy --token '<toy>' \\
          --initializer toy --output ./run
        ti-gpu generate --model ./sd15 --embedding ./run/learned_embeds.safetensors \\
          --prompt 'a photo of <toy> on a beach' --output beach.png
      """,
    version: programVersion,
    subcommands: [
      Train.self, Check.self, Generate.self, Report.self, Demo.self, Tokenize.self, Inspect.self, Convert.self,
      Words.self, Devices.self, Bench.self,
    ])
}

@main
enum Program {
  static func main() {
    // A reader that goes away is met as a failed write, so that the work can be saved.
    signal(SIGPIPE, SIG_IGN)
    let arguments = CommandLineArguments(CommandLine.arguments.dropFirst())
    do {
      var command = try TIGPU.parseAsRoot(arguments.words)
      try command.run()
    } catch {
      if TIGPU.exitCode(for: error) == .success, arguments.unknownCommand == nil {
        return print(TIGPU.fullMessage(for: error))
      }
      let failure = Failure(error, arguments: arguments)
      if !failure.isSaid { Console.error(failure.message) }
      if arguments.wantsJSON { Console.jsonError(failure) }
      exit(failure.exitCode)
    }
  }
}
