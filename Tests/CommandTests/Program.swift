import Foundation
import Testing

/// The program itself, run as a user runs it.
enum Program {
  struct Result {
    let code: Int32
    let output: String
    let error: String
  }

  /// The binary that was built beside the tests.
  static let url: URL = {
    let bundle = Bundle.allBundles.map(\.bundleURL).first { $0.pathExtension == "xctest" }
    let folder =
      bundle?.deletingLastPathComponent() ?? URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    return folder.appendingPathComponent("ti-gpu")
  }()

  /// Where the program's result goes.
  enum Output {
    case file
    /// A pipe that nobody reads any more.
    case closedPipe
  }

  /// - Parameters:
  ///   - input: what stands on standard input.
  ///   - whileRunning: what happens to the process meanwhile.
  static func run(
    _ arguments: [String], input: Data = Data(), environment: [String: String] = [:], output kind: Output = .file,
    whileRunning: (Process) -> Void = { _ in }
  ) throws -> Result {
    let process = Process()
    process.executableURL = url
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    return try run(process, input: input, output: kind, whileRunning: whileRunning)
  }

  private static func run(
    _ process: Process, input: Data = Data(), output kind: Output = .file, whileRunning: (Process) -> Void
  ) throws -> Result {
    // What an earlier build's VAE made must not be taken for this one's.
    process.environment = (process.environment ?? ProcessInfo.processInfo.environment)
      .merging(["TI_GPU_LATENT_CACHE": "off"]) { given, _ in given }
    let output = try TemporaryFile(), error = try TemporaryFile(), inputFile = try TemporaryFile(input)
    let pipe = Pipe()
    switch kind {
    case .file: process.standardOutput = output.handle
    case .closedPipe:
      try pipe.fileHandleForReading.close()
      process.standardOutput = pipe
    }
    process.standardError = error.handle
    process.standardInput = try FileHandle(forReadingFrom: inputFile.url)
    try process.run()
    whileRunning(process)
    process.waitUntilExit()
    let code = process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
    return Result(code: code, output: try output.text(), error: try error.text())
  }

  /// Runs the program where no file may be larger than so many kibibytes, as on a disk that is full.
  static func run(_ arguments: [String], fileKibibytes: Int) throws -> Result {
    let limited = Process()
    limited.executableURL = URL(fileURLWithPath: "/bin/sh")
    limited.arguments = ["-c", "ulimit -f \(2 * fileKibibytes); exec \"$0\" \"$@\"", url.path] + arguments
    return try run(limited, input: Data()) { _ in }
  }

  /// Runs the program within limits: what takes longer is killed, and code 137; what asks for more memory is not given it.
  static func run(_ arguments: [String], seconds: Double, memory: Int) throws -> Result {
    let limited = Process()
    limited.executableURL = URL(fileURLWithPath: "/bin/sh")
    limited.arguments = ["-c", "ulimit -c 0; ulimit -v \(memory >> 10); exec \"$0\" \"$@\"", url.path] + arguments
    return try run(limited) { process in
      DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { [weak process] in
        if let process, process.isRunning { kill(process.processIdentifier, SIGKILL) }
      }
    }
  }

  /// A file, since a pipe that nobody reads would block the program.
  private final class TemporaryFile {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    let handle: FileHandle

    init(_ data: Data = Data()) throws {
      try data.write(to: url)
      handle = try FileHandle(forWritingTo: url)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func text() throws -> String { String(decoding: try Data(contentsOf: url), as: UTF8.self) }
  }
}
