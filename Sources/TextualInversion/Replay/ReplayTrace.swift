import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// A run's random draws, and what another implementation made of them, from one safetensors file.
///
/// With `accumulation` a, `a` successive entries of the file are one optimizer step's micro-batches.
public struct ReplayTrace: BatchSource {
  /// What another implementation made of one optimizer step.
  public struct Expectation: Sendable {
    /// Mean over the micro-batches.
    public let loss: Double
    /// The gradient that the optimizer got, `[n, width]`.
    public let gradient: HostTensor
    /// The rows behind the step, `[n, width]`.
    public let rows: HostTensor
  }

  /// The rows before the first step, `[n, width]`.
  public let initialRows: HostTensor
  public let learningRate: Float
  public let optimizer: AdamW
  /// Micro-batches a step.
  public let accumulation: Int
  /// Optimizer steps.
  public let steps: Int
  /// One a step; empty in a trace that is only to be run.
  public let expected: [Expectation]

  private let latents: HostTensor  // [entries, batch, height, width, channels]
  private let noise: HostTensor
  private let timesteps: [Int64]
  private let ids: [Int64]
  private let batchSize: Int
  private let length: Int

  /// Reads a trace and holds it against the model it is to run on.
  ///
  /// - Parameters:
  ///   - width: of the model's embedding rows.
  ///   - channels: of its latents.
  ///   - length: tokens a prompt.
  ///   - vocabulary: the tokenizer's size; placeholder rows have the ids from there on.
  /// - Throws: `UserError(.noInput)` for a missing file, `.badData` if it is no trace or does not fit.
  public init(
    _ file: URL, width: Int, channels: Int, vocabulary: Int, length: Int, schedule: NoiseSchedule
  ) throws(UserError) {
    let tensors = try SafetensorsFile(file)
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(UserError) {
      if !condition { throw UserError(.badData, "\(file.path): \(message())") }
    }
    let latents = try tensors.tensor("latents")
    let noise = try tensors.tensor("noise")
    let (timeShape, times) = try tensors.integers("timesteps")
    let (idShape, ids) = try tensors.integers("input_ids")
    let rows = try tensors.tensor("initial_embedding")

    try require(
      latents.shape.rank == 5 && latents.shape.count > 0 && latents.shape[2] == channels,
      "latents is \(latents.shape); the model takes [steps, batch, \(channels), height, width]")
    let (entries, batch) = (latents.shape[0], latents.shape[1])
    try require(noise.shape == latents.shape, "noise is \(noise.shape), latents \(latents.shape)")
    try require(timeShape == [entries, batch], "timesteps is \(timeShape), not [\(entries), \(batch)]")
    try require(
      idShape.rank == 3 && idShape[0] == entries && idShape[1] == batch && idShape[2] == length,
      "input_ids is \(idShape), not [\(entries), \(batch), \(length)]")
    try require(
      rows.shape.rank == 2 && rows.shape[0] > 0 && rows.shape[1] == width,
      "initial_embedding is \(rows.shape); the model's rows are \(width) wide")
    try require(
      times.allSatisfy { $0 >= 0 && $0 < schedule.steps }, "a timestep is not below the model's \(schedule.steps)")
    try require(
      ids.allSatisfy { $0 >= 0 && $0 < vocabulary + rows.shape[0] },
      "a token id is not below the tokenizer's \(vocabulary) and \(rows.shape[0]) placeholder rows")

    func setting(_ name: String, _ fallback: Float) throws(UserError) -> Float {
      guard let text = tensors.metadata[name] else { return fallback }
      guard let value = Float(text), value.isFinite else {
        throw UserError(.badData, "\(file.path): \(name) is \(quoted(text)), not a number")
      }
      return value
    }
    learningRate = try setting("learning_rate", 5e-4)
    optimizer = AdamW(
      beta1: try setting("adam_beta1", 0.9), beta2: try setting("adam_beta2", 0.999),
      epsilon: try setting("adam_epsilon", 1e-8), weightDecay: try setting("weight_decay", 1e-2))
    let accumulation = try setting("accumulation", 1)
    try require(
      accumulation >= 1 && accumulation <= Float(entries) && accumulation == accumulation.rounded()
        && entries % Int(accumulation) == 0,
      "accumulation is \(accumulation); \(entries) entries do not divide so")
    self.accumulation = Int(accumulation)
    steps = entries / Int(accumulation)

    let names = ["losses", "gradients", "embeddings"].filter(Set(tensors.names).contains)
    try require(names.isEmpty || names.count == 3, "of losses, gradients and embeddings only \(names) are there")
    if names.isEmpty {
      expected = []
    } else {
      let losses = try tensors.tensor("losses")
      let gradients = try tensors.tensor("gradients")
      let embeddings = try tensors.tensor("embeddings")
      let rowsShape = Shape([entries] + rows.shape.dimensions)
      try require(
        losses.shape == [entries] && gradients.shape == rowsShape && embeddings.shape == rowsShape,
        "losses \(losses.shape), gradients \(gradients.shape) and embeddings \(embeddings.shape) do not fit "
          + "\(entries) steps of \(rows.shape)")
      // A step's entry is that of its last micro-batch.
      let (a, size) = (self.accumulation, rows.shape.count)
      func entry(_ tensor: HostTensor, _ index: Int) -> HostTensor {
        HostTensor(rows.shape, Array(tensor.values[index * size..<(index + 1) * size]))
      }
      expected = (0..<steps).map { step in
        let last = (step + 1) * a - 1
        return Expectation(
          loss: losses.values[step * a...last].reduce(0) { $0 + Double($1) } / Double(a),
          gradient: entry(gradients, last), rows: entry(embeddings, last))
      }
    }

    self.latents = latents.transposed([0, 1, 3, 4, 2])
    self.noise = noise.transposed([0, 1, 3, 4, 2])
    timesteps = times
    self.ids = ids
    initialRows = rows
    batchSize = batch
    self.length = length
  }

  /// Every draw comes from the file.
  public func batch(step: Int, microBatch: Int) throws -> Batch {
    guard (0..<steps).contains(step), (0..<accumulation).contains(microBatch) else {
      throw UserError(.usage, "the trace has no step \(step) with a batch \(microBatch)")
    }
    let entry = step * accumulation + microBatch
    let size = latents.shape.count / latents.shape[0]
    let shape = Shape(Array(latents.shape.dimensions.dropFirst()))
    let tokens = batchSize * length
    return Batch(
      latents: HostTensor(shape, Array(latents.values[entry * size..<(entry + 1) * size])),
      noise: HostTensor(shape, Array(noise.values[entry * size..<(entry + 1) * size])),
      timesteps: timesteps[entry * batchSize..<(entry + 1) * batchSize].map { Int($0) },
      tokens: TokenBatch(
        ids: ids[entry * tokens..<(entry + 1) * tokens].map { Int32($0) }, batch: batchSize, length: length))
  }
}
