import ArgumentParser
import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors
import TextualInversion

extension ModelShape: ExpressibleByArgument {
  public init?(argument: String) {
    guard let shape = Self.all.first(where: { $0.name == argument }) else { return nil }
    self = shape
  }

  public var defaultValueDescription: String { name }
}

/// `ti-gpu bench`: how fast the device is, on a model with random weights.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Times the operations and a training step on a model with random weights.",
    discussion: "  ti-gpu bench --model-shape sd15 --resolution 512 --only step --json")

  enum Part: String, ExpressibleByArgument, CaseIterable { case ops, step }

  @OptionGroup var device: DeviceOptions

  @Option(help: "The model's sizes: \(ModelShape.all.map(\.name).joined(separator: ", ")).")
  var modelShape = ModelShape.sd15
  @Option(help: "The pictures' side in pixels; the model's own by default.")
  var resolution: Int?
  @Option(help: "Pictures a batch.")
  var batchSize = 1
  @Option(help: "Time the ops or the step alone.")
  var only: Part?
  @Option(help: "How many steps are timed, after one that is not.")
  var steps = 3
  @OptionGroup var memory: MemoryOption
  @Flag(help: "Print JSON on standard output.")
  var json = false

  func validate() throws {
    guard (1...64).contains(batchSize) else {
      throw ValidationError("--batch-size must be between 1 and 64, not \(batchSize)")
    }
    guard (1...1000).contains(steps) else { throw ValidationError("--steps must be between 1 and 1000, not \(steps)") }
    if let resolution, !(8...2048).contains(resolution) || resolution % 8 != 0 {
      throw ValidationError("--resolution must be a multiple of 8 between 8 and 2048, not \(resolution)")
    }
  }

  func run() throws {
    try device.run(Work(command: self))
  }

  private struct Work: BackendWork {
    let command: Bench

    func run<B: Backend>(precision: ElementType, makeBackend: @escaping (ElementType) throws -> B) throws {
      let backend = try makeBackend(precision)
      let resolution = command.resolution ?? command.modelShape.resolution
      var report = BenchReport(
        device: backend.name, precision: precision.rawValue, modelShape: command.modelShape.name,
        resolution: resolution, batchSize: command.batchSize)
      if command.only != .step {
        let operations = UNetOperations.of(command.modelShape)
        Console.note("Timing the operations of \(operations.name) on \(backend.name), \(precision.rawValue) ...")
        report.ops = try benchOperations(backend, operations, batchSize: command.batchSize)
        if !command.json { for timing in report.ops ?? [] { try Console.result(timing.line) } }
      }
      if command.only != .ops {
        Console.note(
          "Timing a training step of \(command.modelShape.name) at \(resolution) px, batch \(command.batchSize), on "
            + "\(backend.name), \(precision.rawValue) ...")
        let bench = try StepBench(
          backend: backend, shape: command.modelShape, resolution: resolution, batchSize: command.batchSize,
          budget: command.memory.bytes)
        report.step = try bench.run(steps: command.steps)
        if !command.json, let step = report.step { try Console.result(step.lines) }
      }
      if command.json { try Console.json(report) }
    }
  }
}
