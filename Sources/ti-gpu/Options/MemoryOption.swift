import ArgumentParser

/// `--memory`: what a step may take.
struct MemoryOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Device memory that a step may take, in GiB; nine tenths of the device's by default. Where it is short, parts of the model are run again on the way back: slower, and not one number changes.",
      valueName: "gib"))
  var memory: Double?

  func validate() throws {
    guard let memory else { return }
    guard memory > 0, memory <= 4096 else {
      throw ValidationError("--memory must be between 0 and 4096 GiB, not \(memory)")
    }
  }

  var bytes: Int? { memory.map { Int($0 * 0x1p30) } }
}
