import ArgumentParser

@main
struct TIGPU: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ti-gpu", abstract: "Teaches a Stable Diffusion model a new word from a few pictures.")
}
