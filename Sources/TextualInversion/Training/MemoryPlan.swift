import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// What a training step will take of a device's memory, and what its UNet runs again on the way back so that it takes no more.
///
/// Both come from dry runs of the step itself: its own code asks for what it will ask for, and nothing is computed.
public struct MemoryPlan: Sendable {
  public let keeping: UNetKeeping
  /// What is run again, the cheapest first.
  public let savings: [UNetKeeping.Saving]
  /// What loading and the step will take.
  public let memory: MemoryUse
  /// What they may take: bytes of the pool's.
  public let budget: Int

  /// The plan that runs the least again.
  ///
  /// - Parameters:
  ///   - trained: the text encoders whose rows are trained; all of them by default.
  ///   - budget: bytes; nine tenths of what the device has by default.
  /// - Throws: `usage` where a step does not fit whatever is run again.
  public init<B: Backend>(
    _ model: StableDiffusionModel, _ size: StepSize, trained: Set<Component>? = nil, on backend: B, budget: Int? = nil
  ) throws {
    let limit = backend.memory.limitBytes
    let budget = budget ?? limit / 10 * 9
    let blank = try StableDiffusionModel(RandomModel(blank: model.shape))
    let savings = model.shape.unet.savings
    /// What a step takes that has the first `count` of all savings; nil where a tensor of it is too large.
    func taken(_ count: Int) throws -> MemoryUse? {
      let dry = try backend.dryRun()
      do {
        let step = try SampleStep(
          blank, size, trained: trained, keeping: UNetKeeping(savings: savings.prefix(count)), isBlank: true
        ) { _ in dry }
        _ = try step.run()
      } catch let error as OperationError where error.code == .outOfMemory { return nil }
      return dry.memory
    }
    func fits(_ memory: MemoryUse?) -> Bool { memory.map { $0.reservedBytes <= budget } ?? false }

    var memory = try taken(0)
    var count = 0
    if !fits(memory) {
      (memory, count) = (try taken(savings.count), savings.count)
      var tooFew = 0
      while fits(memory), count - tooFew > 1 {
        let middle = (tooFew + count) / 2
        let found = try taken(middle)
        if fits(found) { (memory, count) = (found, middle) } else { tooFew = middle }
      }
    }
    guard let memory, fits(memory) else {
      let least =
        memory.map { "at least \(MemoryUse.text($0.reservedBytes))" } ?? "more memory than the device has in one piece"
      throw UserError(
        .usage,
        "a step over \(size.batch) pictures of \(size.width)x\(size.height) takes \(least), it may take "
          + "\(MemoryUse.text(budget)) of the device's \(MemoryUse.text(limit))",
        remedy: "take a smaller --resolution or --batch-size")
    }
    self.savings = Array(savings.prefix(count))
    keeping = UNetKeeping(savings: self.savings)
    self.memory = memory
    self.budget = budget
  }

  /// For a person, such as "1.9 GiB of 2.0 GiB; run again on the way back: 16 perceptrons, 4 attentions".
  public var line: String {
    let counts = UNetKeeping.Saving.Kind.allCases.compactMap { kind -> String? in
      let count = savings.count { $0.kind == kind }
      return count == 0 ? nil : "\(count) \(kind)\(count == 1 ? "" : "s")"
    }
    return "\(MemoryUse.text(memory.reservedBytes)) of \(MemoryUse.text(budget))"
      + (counts.isEmpty ? "" : "; run again on the way back: \(counts.joined(separator: ", "))")
  }
}
